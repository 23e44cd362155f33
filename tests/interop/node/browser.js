// A headless Chromium that is told what to do with one page, as a person would.
//
//   node browser.js CHROMIUM
//
// Lines in:  {"id": 1, "do": "click", "with": ["#connect"]}; what there is to do is the table `actions`.
// Lines out: {"id": 1, "gave": ...} or {"id": 1, "failed": "why"}, in the order of the lines in.
//
// Expressions go by the debugging protocol: the page"s policy forbids what Playwright"s own `evaluate` would do.

"use strict";

const fs = require("node:fs");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const PATIENCE = 45_000; // Milliseconds.

let browser;
let page;
let debug;
let said = []; // What the page's console said, its exceptions, and where it went for anything.
let asked = [];

const actions = {
  // options: Playwright's of a context, such as {colorScheme: "dark", viewport: {width: 360, height: 740}}.
  async open(url, options) {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(PATIENCE);
    page = await context.newPage();
    page.on("console", (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => said.push(`exception: ${error.stack}`));
    page.on("request", (request) => asked.push(request.url()));
    page.on("websocket", (socket) => asked.push(socket.url()));
    debug = await context.newCDPSession(page);
    await page.goto(url);
  },
  click: (selector) => page.click(selector),
  check: (selector, on) => page.setChecked(selector, on),
  fill: (selector, text) => page.fill(selector, text),
  press: (key) => page.keyboard.press(key),
  type: (text) => page.keyboard.type(text),
  text: (selector) => page.locator(selector).innerText(),
  // Wait until the element shows text that the pattern fits.
  wait: async (selector, pattern) => {
    try {
      await page.locator(selector).filter({ hasText: new RegExp(pattern) }).first().waitFor();
    } catch {
      const texts = await page.locator(selector).allInnerTexts();
      throw new Error(`${selector} is ${JSON.stringify(texts)}, not ${pattern}; the page said ${JSON.stringify(said)}`);
    }
  },
  async evaluate(expression) {
    const answer = await debug.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
    return answer.result.value ?? null;
  },
  resize: (width, height) => page.setViewportSize({ width, height }),
  media: (options) => page.emulateMedia(options),
  screenshot: async (path, fullPage) => void (await page.screenshot({ path, fullPage })),
  // What a click has the browser save: the file's name and its text.
  save: async (selector) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
    return [file.suggestedFilename(), fs.readFileSync(await file.path(), "utf8")];
  },
  said: () => said,
  asked: () => asked,
};

async function main() {
  browser = await chromium.launch({ executablePath: process.argv[2], args: ARGUMENTS });
  process.stdout.write('{"ready":true}\n');
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { id, do: action, with: given } = JSON.parse(line);
    let answer;
    try {
      answer = { id, gave: (await actions[action](...given)) ?? null };
    } catch (error) {
      answer = { id, failed: String(error.message) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await browser.close();
}

main();
