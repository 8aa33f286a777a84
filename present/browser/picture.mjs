// Makes the pictures of the README: the first screen of a report, or of the lesson's page after it was played.
//
//     node picture.mjs REPORT.html OUT.png        CHROMIUM names the browser, default /usr/bin/chromium
//     node picture.mjs http://ADDRESS OUT.png

import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
import UPNG from "upng-js";

/** With so many colours, nobody sees a difference, and a picture has a third of the bytes. */
const COLOURS = 96;
/** A busy machine takes its time. */
const PATIENCE = 120_000;
const [what, out] = process.argv.slice(2);
const isLesson = what.startsWith("http:");
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
  timeout: PATIENCE,
});
const viewport = isLesson ? { width: 1240, height: 880 } : { width: 1100, height: 1080 };
const context = await browser.newContext({ viewport, colorScheme: "light", offline: !isLesson });
context.setDefaultTimeout(PATIENCE);
const page = await context.newPage();
await page.goto(isLesson ? what : pathToFileURL(resolve(what)).href);
if (isLesson) await play(page);
const picture = UPNG.decode(await page.screenshot());
writeFileSync(resolve(out), Buffer.from(UPNG.encode(UPNG.toRGBA8(picture), picture.width, picture.height, COLOURS)));
await browser.close();

/** Pays a thousand with one try each, then until acknowledged, and waits until requests are on their way. */
async function play(page) {
  const idle = () => page.locator('#thousand-until[aria-disabled="false"]').waitFor();
  const shown = (id, text) => page.waitForFunction(([id, text]) => document.getElementById(id).textContent === text, [id, text]);
  await idle();
  await page.locator("#preset").click();
  await page.waitForFunction(() => document.getElementById("request-lost").value === "30");
  for (const [button, booked] of [["thousand-once", "695.00"], ["thousand-until", "1455.00"]]) {
    await idle();
    await page.locator(`#${button}`).click();
    await shown("booked", booked);
    await shown("word", "Violated");
  }
  await page.mouse.move(0, 0);
  await page.waitForFunction(() => document.querySelectorAll("#dots .cross").length > 1 && document.querySelectorAll("#dots > *").length > 8);
}
