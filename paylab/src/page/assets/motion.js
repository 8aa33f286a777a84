// Requests as dots: they travel, break where the toxic strikes, and come back or not. Whoever wants no motion sees the numbers alone.

const SVG = "http://www.w3.org/2000/svg";
/** Dots pass behind the boxes, and break at the edge of the proxy. */
const CLIENT = 63, PROXY_IN = 222, PROXY_OUT = 366, LEDGER = 737;
const THERE = 76, BACK = 130;
/** Units of the picture in a millisecond. */
const SPEED = { many: 0.9, one: 0.55 };
const CROSS_MS = 900;
const PAUSE_MS = 55;
/** What waits beyond this is not drawn: the numbers tell it. */
const WAITING_MAX = 48;

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const layer = document.getElementById("dots");
let waiting = [];
let moving = [];
let last = 0;
let running = false;

/** Draws requests of these fates ("RequestLost", "AnswerLost", "Answered"), one soon after the other. */
export function draw(fates, who) {
  if (calm.matches || document.hidden) return;
  for (const fate of fates) {
    if (waiting.length >= WAITING_MAX) break;
    waiting.push({ fate, who, pace: "many" });
  }
  start();
}

/** Draws the attempts of one payment, each after the end of the one before. */
export function drawStory(fates) {
  if (calm.matches || document.hidden) return;
  waiting = fates.slice(0, WAITING_MAX).map((fate) => ({ fate, who: "page", pace: "one" }));
  start();
}

/** A sample of so many requests, in which each fate that occurs is seen. */
export function sample(counts, most) {
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  const share = Math.min(1, most / Math.max(1, all));
  const fates = Object.entries(counts).flatMap(([fate, count]) => Array(count > 0 ? Math.max(1, Math.round(count * share)) : 0).fill(fate));
  for (let i = fates.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [fates[i], fates[j]] = [fates[j], fates[i]];
  }
  return fates;
}

function start() {
  if (running) return;
  running = true;
  last = 0;
  requestAnimationFrame(frame);
}

function frame(now) {
  const next = waiting[0];
  const free = next?.pace === "one" ? moving.length === 0 : now - last >= PAUSE_MS;
  if (next && free) {
    waiting.shift();
    moving.push(begin(next, now));
    last = now;
  }
  moving = moving.filter((dot) => place(dot, now));
  running = waiting.length > 0 || moving.length > 0;
  if (running) requestAnimationFrame(frame);
}

function begin({ fate, who, pace }, now) {
  const shape = document.createElementNS(SVG, who === "page" ? "circle" : "path");
  shape.setAttribute("class", `dot-${who}`);
  if (who === "page") shape.setAttribute("r", "8");
  else shape.setAttribute("d", "M0 -8L8 0 0 8 -8 0z");
  layer.append(shape);
  return { fate, pace, shape, begun: now, broken: 0 };
}

/** Moves a dot. False: its way is over, and it is gone. */
function place(dot, now) {
  if (dot.broken) {
    const age = (now - dot.broken) / CROSS_MS;
    dot.shape.setAttribute("opacity", String(Math.max(0, 1 - age * age)));
    if (age >= 1) dot.shape.remove();
    return age < 1;
  }
  const way = (now - dot.begun) * SPEED[dot.pace];
  const there = dot.fate === "RequestLost" ? PROXY_IN - CLIENT : LEDGER - CLIENT;
  if (way <= there) return move(dot, CLIENT + way, THERE);
  if (dot.fate === "RequestLost") return tear(dot, PROXY_IN, THERE, now);
  const down = BACK - THERE;
  if (way <= there + down) return move(dot, LEDGER, THERE + way - there);
  const back = way - there - down;
  const end = dot.fate === "Answered" ? LEDGER - CLIENT : LEDGER - PROXY_OUT;
  if (back <= end) return move(dot, LEDGER - back, BACK);
  if (dot.fate !== "Answered") return tear(dot, PROXY_OUT, BACK, now);
  dot.shape.remove();
  return false;
}

function move(dot, x, y) {
  dot.shape.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
  return true;
}

function tear(dot, x, y, now) {
  dot.shape.remove();
  dot.shape = document.createElementNS(SVG, "path");
  dot.shape.setAttribute("class", "cross");
  dot.shape.setAttribute("d", "M-8 -8L8 8M8 -8L-8 8");
  layer.append(dot.shape);
  dot.broken = now;
  return move(dot, x, y);
}
