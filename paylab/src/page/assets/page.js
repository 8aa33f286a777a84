// The page of the lesson. It shows the state that the server sends, and sends what is pressed; it decides nothing.

import { draw, drawStory, sample } from "/motion.js";

const DOTS_PER_LOOK = 14;
const at = (id) => document.getElementById(id);
const text = (id, value) => { if (at(id).textContent !== String(value)) at(id).textContent = value; };
const eur = (minor) => (minor / 100).toFixed(2);
const percent = (share) => `${Math.round(share * 100)} %`;
const TONES = { Upheld: "good", Violated: "bad", Inconclusive: "open" };
const INITIAL = { word: at("word").textContent, said: at("said").textContent };
const UNREACHED = "The lesson does not answer. It is asked again; start it with paylab serve.";
const SLIDERS = [["request-lost", "requestLost"], ["answer-lost", "answerLost"]];
const BUTTONS = ["thousand-until", "thousand-once", "one-until", "one-once", "clear", "preset"];

let state = null;
/** The last payment that was made alone, until something else happens. */
let story = null;
/** What was refused, until something else happens. */
let refusal = "";
/** Sliders that are held or being sent are not moved from outside. */
let held = 0;
let sending = false;
let unsent = false;
let seedIsOurs = true;
/** What was pressed here is followed with the eyes: on a narrow screen it happens below the buttons. */
let following = false;
const narrow = matchMedia("(max-width: 900px)");

async function post(path, body) {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const answer = response.status === 204 ? {} : await response.json();
  if (!response.ok) throw new Error(answer.detail ?? `The answer was ${response.status}.`);
  return answer;
}

/** Does what was pressed, and says why if it cannot be done. */
async function attempt(action) {
  refusal = "";
  try {
    return await action();
  } catch (error) {
    refusal = error.message;
    headline();
    return null;
  }
}

const isBusy = () => state === null || state.doing !== null;

function choice(payments, until) {
  const seed = Number(at("seed").value.trim());
  if (!/^\d+$/.test(at("seed").value.trim()) || !Number.isSafeInteger(seed)) throw new Error("The seed must be a whole number from 0.");
  return { payments, until, key: document.querySelector("input[name=key]:checked").value, seed };
}

async function pay(payments, until) {
  if (isBusy()) return;
  following = true;
  await attempt(async () => {
    const done = await post("/api/pay", choice(payments, until));
    if (payments !== "One") return;
    story = done;
    drawStory(done.attempts.map((it) => it.fate));
    showStory();
    headline();
  });
}

const FATES = {
  RequestLost: ["Request lost", "bad", "The service has never seen it."],
  AnswerLost: ["Answer lost", "bad", "It arrived, and the answer was lost:"],
  Answered: ["Answered", "good", "It arrived, and the answer came back:"],
  Broken: ["Broke off", "open", "No fault says why."],
};

function showStory() {
  at("story").hidden = story === null;
  if (story === null) return;
  text("story-title", `Payment ${story.payment}, attempt by attempt`);
  at("attempts").replaceChildren(...story.attempts.map(line));
  text("client-believes", story.isAcknowledged ? "it is paid" : "nothing: no answer came");
  const times = story.risenMinor / 100;
  text("ledger-says", times === 0 ? "not booked" : times === 1 ? "booked once" : times === 2 ? "booked twice" : `booked ${times} times`);
  document.querySelector("#story .ends").className = `ends ${toneOf(story)}`;
}

function line({ fate, status }, index) {
  const [label, tone, seen] = FATES[fate];
  const item = document.createElement("li");
  const part = (name, content) => {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = content;
    item.append(span);
  };
  part("count", index + 1);
  part(`tag ${tone}`, label);
  part("seen", status === null ? seen : `${seen} ${status}${status === 208 ? ", a repeat" : ""}`);
  return item;
}

/** What a payment that was made alone has come to. */
function toneOf({ risenMinor, isAcknowledged }) {
  if (risenMinor === 100) return isAcknowledged ? "good" : "open";
  return risenMinor === 0 && !isAcknowledged ? "open" : "bad";
}

function toldOf({ payment, attempts, isAcknowledged, risenMinor }) {
  const tries = attempts.length === 1 ? "one attempt" : `${attempts.length} attempts`;
  const believes = isAcknowledged ? "The client believes it is paid" : "The client has no answer";
  const booked = risenMinor === 100 && isAcknowledged ? `, and the ledger has risen by ${eur(risenMinor)} EUR: exactly once.` : `; the ledger has risen by ${eur(risenMinor)} EUR.`;
  return `Payment ${payment}, ${tries}. ${believes}${booked}`;
}

/** The verdict at the top, which is also what a screen reader says. */
function headline() {
  const result = state?.result;
  let tone = "", word = INITIAL.word, said = INITIAL.said;
  if (refusal) [tone, word, said] = ["open", "Not done", refusal];
  else if (story) [tone, word, said] = [toneOf(story), wordOf(story), toldOf(story)];
  else if (result) [tone, word, said] = [TONES[result.verdict], result.verdict, sentence(result)];
  else if (state?.doing === "PayingMany") [word, said] = ["Paying 1000", "The payments are on their way."];
  at("top").className = `verdict ${tone}`;
  text("word", word);
  text("said", said);
  const more = at("more");
  const link = result && !refusal && !story;
  if (Boolean(more.firstElementChild) !== Boolean(link)) {
    more.replaceChildren();
    if (link) {
      const anchor = document.createElement("a");
      Object.assign(anchor, { href: "/report", textContent: "The full report of these payments", id: "report" });
      more.append("The claim was: every payment is booked exactly once. ", anchor);
    }
  }
}

const ROUNDS_MAX = 6;

/** One more row in the table of what was played. */
function noteRound({ verdict, until, key, dedup }, { page, ledger, outside }) {
  const row = document.createElement("tr");
  const cell = (tag, content, name = "") => {
    const element = document.createElement(tag);
    element.className = name;
    element.append(content);
    row.append(element);
  };
  const tries = until === "Tried" ? "one try each" : "until acknowledged";
  cell("th", `${tries}, ${key === "None" ? "without a key" : `with a key, ${dedup}`}`);
  row.firstChild.scope = "row";
  cell("td", eur(page.believedMinor), "n believed");
  cell("td", `${eur(ledger.bookedMinor)}${outside.sent > 0 ? " with others" : ""}`, "n strong");
  const tag = document.createElement("span");
  tag.className = `tag ${TONES[verdict]}`;
  tag.textContent = verdict;
  cell("td", tag);
  at("rounds").prepend(row);
  while (at("rounds").children.length > ROUNDS_MAX) at("rounds").lastChild.remove();
  at("played").hidden = false;
}

function sentence({ verdict, sentence: told }) {
  const rest = told.startsWith(verdict.toUpperCase()) ? told.slice(told.indexOf(":") + 1).trim() : told;
  return rest.charAt(0).toUpperCase() + rest.slice(1);
}

function wordOf(told) {
  if (told.risenMinor > 100) return "Paid more than once";
  if (told.risenMinor === 100) return told.isAcknowledged ? "Paid exactly once" : "Paid, and nobody knows";
  return told.isAcknowledged ? "Believed, and not paid" : "Lost";
}

/** Draws what has passed the proxy since the last state. */
function motion(before, now, who) {
  const grown = (name) => Math.max(0, now[name] - before[name]);
  const counts = { RequestLost: grown("requestsLost"), AnswerLost: grown("answersLost"), Answered: 0 };
  counts.Answered = Math.max(0, grown("sent") - counts.RequestLost - counts.AnswerLost);
  draw(sample(counts, DOTS_PER_LOOK), who);
}

function bar(id, from, minor, scale) {
  at(id).setAttribute("x", String((from / scale) * 1000));
  at(id).setAttribute("width", String((Math.max(0, minor) / scale) * 1000));
}

function money() {
  const { intendedMinor: intended, believedMinor: believed } = state.page;
  const booked = state.ledger.bookedMinor;
  const scale = Math.max(intended, believed, booked, 1) * 1.01;
  const known = intended > 0;
  // What is on its way is not missing yet.
  const lacks = (minor) => (state.doing === "PayingMany" ? 0 : intended - minor);
  bar("bar-intended", 0, intended, scale);
  bar("bar-believed", 0, believed, scale);
  bar("bar-believed-missing", believed, lacks(believed), scale);
  bar("bar-booked", 0, known ? Math.min(booked, intended) : booked, scale);
  bar("bar-booked-missing", booked, lacks(booked), scale);
  bar("bar-booked-extra", intended, known ? booked - intended : 0, scale);
  text("intended", eur(intended));
  text("believed", eur(believed));
  text("booked", eur(booked));
  const [tone, told] = gap(intended, believed, booked);
  at("gap").className = `gap ${tone}`;
  text("gap", told);
}

function gap(intended, believed, booked) {
  if (state.doing === "PayingMany") return ["", "The payments are on their way."];
  const others = state.outside.sent > 0;
  if (others && intended === 0) return ["", `${eur(booked)} EUR are booked for others. What they intended, only they know: ${passed(state.outside)} of their connections were answered.`];
  if (others) return ["", "The ledger also holds what others have paid. What they intended, only they know."];
  if (intended === 0) return booked === 0 ? ["", "Nothing is paid yet."] : ["", `${eur(booked)} EUR are booked for others, past the proxy.`];
  const all = believed === intended ? ", and the client believes that all is well" : "";
  if (booked > intended) return ["bad", `${eur(booked - intended)} EUR too much are booked${all}.`];
  if (booked < intended) return ["bad", `${eur(intended - booked)} EUR are missing from the ledger.`];
  return believed === intended ? ["good", "All three agree, to the cent."] : ["", `The ledger is right, but the client lacks answers for ${eur(intended - believed)} EUR.`];
}

const passed = ({ sent, requestsLost, answersLost }) => Math.max(0, sent - requestsLost - answersLost);

function numbers() {
  const { passed: page, outside, ledger } = state;
  const sum = (name) => page[name] + outside[name];
  const arrived = Math.max(0, sum("sent") - sum("requestsLost"));
  text("n-sent", sum("sent"));
  text("n-arrived", arrived);
  text("n-responded", arrived);
  text("n-entries", ledger.entries);
  text("n-answered", Math.max(0, arrived - sum("answersLost")));
  for (const [id, name] of [["n-request-lost", "requestsLost"], ["n-answer-lost", "answersLost"]]) {
    text(id, sum(name) > 0 ? `× ${sum(name)}` : "0");
    at(id).setAttribute("class", sum(name) > 0 ? "some" : "none");
  }
  text("outside-sent", outside.sent);
  text("outside-request-lost", outside.requestsLost);
  text("outside-answer-lost", outside.answersLost);
  text("outside-passed", passed(outside));
  at("box-outside-request").className = outside.requestsLost > 0 ? "bad" : "";
  at("box-outside-answer").className = outside.answersLost > 0 ? "bad" : "";
}

function controls() {
  for (const id of BUTTONS) at(id).setAttribute("aria-disabled", String(isBusy()));
  at("stop").hidden = state.doing !== "PayingMany";
  at("clear").hidden = !at("stop").hidden;
  if (held === 0) {
    for (const [id, name] of SLIDERS) {
      at(id).value = String(Math.round(state.toxics[name] * 100));
      text(`${id}-share`, percent(state.toxics[name]));
    }
  }
  if (document.activeElement !== at("dedup")) at("dedup").value = state.dedup;
  const { others } = state.toxics;
  at("other-toxics").hidden = others.length === 0;
  text("other-toxics", `Set from outside, and for connections from outside only: ${others.join(", ")}.`);
  if (seedIsOurs && document.activeElement !== at("seed")) at("seed").value = String(state.seed);
}

/** Addresses as this browser reaches them. */
function places() {
  const near = (address) => `${location.hostname}:${address.slice(address.lastIndexOf(":") + 1)}`;
  const { service, proxy, api, name } = state.places;
  text("place-proxy", `http://${near(proxy)}/payments/`);
  text("place-service", `http://${near(service)}/payments/`);
  text("place-api", `http://${near(api)}/proxies`);
  text("proxy-name", name);
  text("snippet", `pay() { curl -sf --json '{"src":"bianca","dest":"marc","amount":1}' "$@" ${near(proxy)}/payments/; }\nfor i in $(seq 100); do until pay; do :; done; done`);
}

function render(next) {
  const before = state;
  state = next;
  const isNew = next.page.intendedMinor === 0 && next.ledger.entries === 0;
  if (story !== null && (isNew || next.doing === "PayingMany")) {
    story = null;
    showStory();
  }
  if (before && !isNew) {
    if (next.page.intendedMinor - before.page.intendedMinor !== 100 && next.doing !== "PayingOne" && story === null) motion(before.passed, next.passed, "page");
    motion(before.outside, next.outside, "outside");
  }
  if (next.result !== null && (before === null || before.result === null)) noteRound(next.result, next);
  numbers();
  money();
  controls();
  places();
  headline();
  if (following && before?.doing !== next.doing) {
    if (narrow.matches) at("stage-card").scrollIntoView({ behavior: "instant" });
    following = next.doing !== null;
  }
}

/** Sends where the sliders are, one request after another, and the last of them last. */
async function sendShares() {
  unsent = true;
  if (sending) return;
  sending = true;
  held += 1;
  while (unsent) {
    unsent = false;
    const [requestLost, answerLost] = SLIDERS.map(([id]) => Number(at(id).value) / 100);
    await attempt(() => post("/api/toxics", { requestLost, answerLost }));
  }
  held -= 1;
  sending = false;
}

for (const [id] of SLIDERS) {
  at(id).addEventListener("input", () => text(`${id}-share`, `${at(id).value} %`));
  at(id).addEventListener("change", sendShares);
  at(id).addEventListener("pointerdown", () => { held += 1; });
  at(id).addEventListener("pointerup", () => setTimeout(() => { held -= 1; }, 50));
}
at("preset").addEventListener("click", () => {
  for (const [id] of SLIDERS) {
    at(id).value = "30";
    text(`${id}-share`, "30 %");
  }
  return sendShares();
});
at("thousand-until").addEventListener("click", () => pay("Thousand", "Acknowledged"));
at("thousand-once").addEventListener("click", () => pay("Thousand", "Tried"));
at("one-until").addEventListener("click", () => pay("One", "Acknowledged"));
at("one-once").addEventListener("click", () => pay("One", "Tried"));
at("clear").addEventListener("click", () => isBusy() || attempt(() => post("/api/clear", {})));
at("stop").addEventListener("click", () => attempt(() => post("/api/stop", {})));
at("dedup").addEventListener("change", async () => {
  const done = await attempt(() => post("/api/mode", { dedup: at("dedup").value }));
  if (done === null) at("dedup").value = state.dedup;
});
at("seed").addEventListener("input", () => { seedIsOurs = false; });

const events = new EventSource("/api/events");
events.onmessage = ({ data }) => {
  if (refusal === UNREACHED) refusal = "";
  render(JSON.parse(data));
};
events.onerror = () => {
  refusal = UNREACHED;
  headline();
};
