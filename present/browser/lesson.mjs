// Plays the lesson in Chromium on the page of `paylab serve`, as its readers do: by pressing its buttons, with the keyboard alone, narrow and
// wide, light and dark, and with axe-core in place of a screen reader. It fails where the totals are not those of the lesson.
//
//     node lesson.mjs ADDRESS PROXY [SCREENSHOTS]        CHROMIUM names the browser, default /usr/bin/chromium

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { request } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

/** A busy machine takes its time. */
const PATIENCE = 120_000;
const [address, proxy, pictures] = process.argv.slice(2);
assert(proxy, "usage: node lesson.mjs ADDRESS PROXY [SCREENSHOTS]");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (pictures) mkdirSync(pictures, { recursive: true });

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
  timeout: PATIENCE,
});

/** Opens the page, and fails on whatever it asks elsewhere for or complains about. */
async function open(options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("request", (asked) => assert(asked.url().startsWith(address), `the page loads ${asked.url()}`));
  page.on("console", (message) => assert.notEqual(message.type(), "error", message.text()));
  page.on("pageerror", (error) => assert.fail(String(error)));
  await page.goto(address);
  await idle(page);
  return page;
}

const idle = (page) => page.locator('#thousand-until[aria-disabled="false"]').waitFor();
const texts = async (page, ids) => Promise.all(ids.map((id) => page.locator(`#${id}`).textContent()));

async function picture(page, what, options = {}) {
  if (pictures) await page.screenshot({ path: join(pictures, `lesson-${what}.png`), ...options });
}

/** What axe-core finds on the page as it is shown now. */
async function audit(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const told = found.violations.map((it) => `${it.impact}: ${it.id}: ${it.help}\n    ${it.nodes.map((node) => node.html.slice(0, 160)).join("\n    ")}`);
  assert.equal(told.length, 0, `axe-core at ${where}:\n  ${told.join("\n  ")}`);
}

async function fits(page, where) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, `the page is ${overflow} px too wide at ${where}`);
}

/** Presses a button that makes a thousand payments, and reads what came of it. */
async function thousand(page, button, key, verdict) {
  await idle(page);
  await page.locator(`input[name=key][value=${key}]`).check();
  await page.locator("#clear").click();
  await page.waitForFunction(() => document.getElementById("word").textContent.startsWith("Does every"));
  await idle(page);
  await page.locator(`#${button}`).click();
  await page.waitForFunction((word) => document.getElementById("word").textContent === word, verdict);
  await idle(page);
  return texts(page, ["intended", "believed", "booked"]);
}

/** Pays once at the proxy, as curl does. */
function payFromOutside() {
  return new Promise((paid, failed) => {
    const headers = { "Content-Type": "application/json", Connection: "close" };
    const asked = request(`${proxy}/payments/`, { method: "POST", headers }, (answer) => answer.resume().on("end", () => paid(true)));
    asked.on("error", (error) => (error.code === "ECONNRESET" ? paid(false) : failed(error)));
    asked.end(JSON.stringify({ src: "bianca", dest: "marc", amount: 1 }));
  });
}

const seen = [];

// The lesson, on one screen.
{
  const page = await open({ viewport: { width: 1400, height: 900 }, bypassCSP: true });
  for (const id of ["thousand-until", "thousand-once", "one-until", "gap"]) {
    const box = await page.locator(`#${id}`).boundingBox();
    assert(box.y + box.height <= 900, `${id} is not on the first screen`);
  }
  await page.locator("#preset").click();
  await page.waitForFunction(() => document.getElementById("request-lost").value === "30");
  assert.deepEqual(await thousand(page, "thousand-once", "None", "Violated"), ["1000.00", "469.00", "695.00"]);
  assert.deepEqual(await thousand(page, "thousand-until", "None", "Violated"), ["1000.00", "1000.00", "1455.00"]);
  assert.match(await page.locator("#said").innerText(), /^329 of 1000 payments were booked more than once \(\+455\.00 EUR\)/);
  assert.match(await page.locator("#gap").innerText(), /^455\.00 EUR too much are booked/);
  await picture(page, "first-screen");
  assert.deepEqual(await thousand(page, "thousand-until", "PerPayment", "Upheld"), ["1000.00", "1000.00", "1000.00"]);
  assert.equal(await page.locator("#rounds tr").count(), 3);
  await audit(page, "after three rounds");
  await picture(page, "1400-light", { fullPage: true });
  await page.locator("#report").click();
  await page.locator("h1", { hasText: "Upheld" }).waitFor();
  seen.push("695, 1455 and 1000 by the buttons");
  await page.context().close();
}

// What others pay is shown, and so are the toxics that they set.
{
  const page = await open({ viewport: { width: 1400, height: 900 }, bypassCSP: true });
  await page.locator("#clear").click();
  await page.waitForFunction(() => document.getElementById("booked").textContent === "0.00");
  const answered = [];
  for (let i = 0; i < 60; i++) answered.push(await payFromOutside());
  const passed = answered.filter(Boolean).length;
  assert(passed > 0 && passed < 60, `${passed} of 60 were answered`);
  await page.waitForFunction((count) => document.getElementById("outside-sent").textContent === count, "60");
  await page.waitForFunction((count) => document.getElementById("outside-passed").textContent === count, String(passed));
  assert.match(await page.locator("#gap").innerText(), new RegExp(`what they intended, only they know: ${passed} of their`, "i"));
  assert(Number(await page.locator("#booked").textContent()) > passed, "more is booked than answered");
  await audit(page, "with traffic from outside");
  await picture(page, "outside", { fullPage: true });
  seen.push(`60 connections from outside, ${passed} answered`);
  await page.context().close();
}

// With the keyboard alone: the sliders, one payment, and its story.
for (const [width, colorScheme] of [[360, "light"], [360, "dark"], [1400, "dark"]]) {
  const where = `${width} px, ${colorScheme}`;
  const page = await open({ viewport: { width, height: 780 }, colorScheme, bypassCSP: true });
  await page.locator("#request-lost").focus();
  await page.keyboard.press("Home");
  for (let share = 0; share < 30; share += 5) await page.keyboard.press("ArrowRight");
  assert.equal((await texts(page, ["request-lost-share"]))[0], "30 %");
  await idle(page);
  await page.locator("#clear").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.getElementById("booked").textContent === "0.00");
  for (let pressed = 0; pressed < 40; pressed++) {
    if (await page.evaluate(() => document.activeElement.id === "one-until")) break;
    await page.keyboard.press("Shift+Tab");
  }
  const outline = await page.evaluate(() => [document.activeElement.id, getComputedStyle(document.activeElement).outlineStyle]);
  assert.deepEqual(outline, ["one-until", "solid"], "the focus is lost or cannot be seen");
  for (const payment of [0, 1]) {
    await idle(page);
    await page.keyboard.press("Enter");
    await page.waitForFunction((title) => document.getElementById("story-title").textContent.startsWith(title), `Payment ${payment},`);
  }
  assert.equal(await page.locator("#attempts li").count(), 7, "the second payment of seed 42 has seven attempts");
  await idle(page);
  await audit(page, where);
  await fits(page, where);
  await picture(page, `${width}-${colorScheme}`, { fullPage: true });
  seen.push(where);
  await page.context().close();
}

await browser.close();
console.log(`${address}: ${seen.join("; ")}`);
