// Opens a report in Chromium as its readers do, and fails where one of them would be stopped: from the disk with the network off, narrow and
// wide, light and dark, without scripts, with the keyboard alone, on paper, and with axe-core in place of a screen reader.
//
//     node check.mjs REPORT.html [SCREENSHOTS]        CHROMIUM names the browser, default /usr/bin/chromium

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const LENGTH_MAX = 300_000;
/** A busy machine takes its time. */
const PATIENCE = 120_000;
const [file, pictures] = process.argv.slice(2);
assert(file, "usage: node check.mjs REPORT.html [SCREENSHOTS]");
const address = pathToFileURL(resolve(file)).href;
const name = basename(file, ".html");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
if (pictures) mkdirSync(pictures, { recursive: true });

const length = statSync(file).size;
assert(length <= LENGTH_MAX, `${file} has ${length} bytes, and may have ${LENGTH_MAX}`);
assert(!/<script|\son[a-z]+=|javascript:/i.test(readFileSync(file, "utf8")), "the report contains a script");

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
  timeout: PATIENCE,
});

/** Opens the report, and fails on whatever it asks the network for or complains about. */
async function open(options) {
  const context = await browser.newContext({ offline: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.on("request", (request) => assert.equal(request.url().split("#")[0], address, "the report loads something"));
  page.on("console", (message) => assert.notEqual(message.type(), "error", message.text()));
  page.on("pageerror", (error) => assert.fail(String(error)));
  await page.goto(address);
  return page;
}

async function picture(page, what, options = {}) {
  if (pictures) await page.screenshot({ path: join(pictures, `${name}-${what}.png`), ...options });
}

const EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
/** Between the color schemes nothing else differs, and every rule takes most of the time of this program. */
const COLORS = { type: "rule", values: ["color-contrast"] };

/** What axe-core finds on the page as it is shown now. */
async function audit(page, where, rules) {
  await page.evaluate(axe);
  const found = await page.evaluate((runOnly) => axe.run(document, { runOnly }), rules);
  const told = found.violations.map((it) => `${it.impact}: ${it.id}: ${it.help}\n    ${it.nodes.map((node) => node.html.slice(0, 160)).join("\n    ")}`);
  assert.equal(told.length, 0, `axe-core at ${where}:\n  ${told.join("\n  ")}`);
}

/** The first cell of the matrix that tells what is worst, in the column of an answer that was lost if there is one. */
async function cell(page) {
  const lost = page.locator('table.matrix td a[aria-label*="answer lost"]').first();
  return (await lost.count()) > 0 ? lost : page.locator("table.matrix td a").first();
}

const seen = [];
for (const width of [360, 1400]) {
  for (const colorScheme of ["light", "dark"]) {
    const where = `${width} px, ${colorScheme}`;
    const rules = colorScheme === "light" ? EVERY_RULE : COLORS;
    // axe-core is a script of the test's, which the report's own policy forbids.
    const page = await open({ viewport: { width, height: 900 }, colorScheme, bypassCSP: true });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(overflow, 0, `the page is ${overflow} px too wide at ${where}`);
    await picture(page, `${width}-${colorScheme}`, { fullPage: true });
    await audit(page, where, rules);
    if ((await page.locator("table.matrix").count()) > 0) {
      const link = await cell(page);
      const heading = await link.getAttribute("aria-label");
      await link.click();
      const panel = page.locator(".panel:target");
      await panel.waitFor({ state: "visible" });
      assert((await panel.innerText()).includes(heading), "the panel is not that of the cell");
      await audit(page, `${where}, a cell opened`, rules);
      await picture(page, `${width}-${colorScheme}-cell`);
      const payment = panel.locator("a[href*=payment-]:not([href$=nothing])").last();
      const number = (await payment.innerText()).replace(/\D/g, "");
      await payment.click();
      const story = page.locator(".story:target");
      await story.waitFor({ state: "visible" });
      const drawn = await story.locator("svg.seq").textContent();
      for (const word of ["client", "proxy", "service", "ledger", "POST"]) assert(drawn.includes(word), `${word}: ${drawn}`);
      assert((await story.locator("h3").innerText()).startsWith(`Payment ${number}:`));
      await audit(page, `${where}, a payment opened`, rules);
      await picture(page, `${width}-${colorScheme}-payment`);
      seen.push(`${where}: cell "${heading}", payment ${number}`);
    }
    await page.context().close();
  }
}

// Without scripts, and on one screen: the verdict in a word, and the request that is guilty of it.
{
  const page = await open({ viewport: { width: 1400, height: 900 }, javaScriptEnabled: false });
  const verdict = page.locator("h1").first();
  assert.match(await verdict.innerText(), /^(Upheld|Violated|Inconclusive)$|nemeses|cells/);
  assert((await verdict.boundingBox()).y < 300, "the verdict is not at the top");
  const guilty = page.locator(".story.first h3");
  if ((await guilty.count()) > 0) {
    assert((await guilty.first().boundingBox()).y < 900, "the guilty request is not on the first screen");
  }
  await picture(page, "first-screen");
  await page.context().close();
}

// With the keyboard alone.
{
  const page = await open({ viewport: { width: 1400, height: 900 } });
  const cells = await page.locator("table.matrix td a").count();
  for (let pressed = 0; cells > 0 && pressed < 300; pressed++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(() => document.activeElement.matches("table.matrix td a"))) break;
  }
  if (cells > 0) {
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, "none", "the focus cannot be seen");
    await page.keyboard.press("Enter");
    await page.locator(".panel:target").waitFor({ state: "visible" });
  }
  await page.context().close();
}

// On paper.
{
  const page = await open({ viewport: { width: 1400, height: 900 }, colorScheme: "dark" });
  const pdf = await page.pdf({ format: "A4", margin: { top: "12mm", bottom: "12mm", left: "12mm", right: "12mm" } });
  const pages = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  assert(pages >= 1 && pages <= 20, `${pages} pages`);
  if (pictures) writeFileSync(join(pictures, `${name}.pdf`), pdf);
  seen.push(`${pages} pages of A4`);
  await page.context().close();
}

await browser.close();
console.log(`${file}: ${length} bytes; ${seen.join("; ")}`);
