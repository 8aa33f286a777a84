// Makes the picture of the README: the first screen of a report.
//
//     node picture.mjs REPORT.html OUT.png        CHROMIUM names the browser, default /usr/bin/chromium

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [file, out] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const context = await browser.newContext({ viewport: { width: 1100, height: 1080 }, colorScheme: "light", offline: true });
const page = await context.newPage();
await page.goto(pathToFileURL(resolve(file)).href);
await page.screenshot({ path: resolve(out) });
await browser.close();
