// A headless Chromium whose pages are told what to do, as a person would.
//
//   node browser.js CHROMIUM SOCKET
//
// It listens on a Unix socket. Each connection has a page of its own, in a profile of its own, which ends with it.
// Lines in:  {"id": 1, "do": "click", "with": ["#connect"]}; what there is to do is the table `actions`.
// Lines out: {"id": 1, "gave": ...} or {"id": 1, "failed": "why"}, in the order of the lines in.
//
// Expressions go by the debugging protocol: the page's policy forbids what Playwright"s own `evaluate` would do.
// It ends when the process that started it is gone.

"use strict";

const fs = require("node:fs");
const net = require("node:net");
const readline = require("node:readline");
const { chromium } = require("playwright-core");

const ARGUMENTS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];
const PATIENCE = 45_000; // Milliseconds.

let browser;

// Each is called with the connection's tab: its page, and what its console said, its exceptions, and where it went.
const actions = {
  // options: Playwright's of a context, such as {colorScheme: "dark", viewport: {width: 360, height: 740}}.
  async open(tab, url, options) {
    tab.context = await browser.newContext(options);
    tab.context.setDefaultTimeout(PATIENCE);
    tab.page = await tab.context.newPage();
    tab.page.on("console", (message) => tab.said.push(`${message.type()}: ${message.text()}`));
    tab.page.on("pageerror", (error) => tab.said.push(`exception: ${error.stack}`));
    tab.page.on("request", (request) => tab.asked.push(request.url()));
    tab.page.on("websocket", (socket) => tab.asked.push(socket.url()));
    tab.debug = await tab.context.newCDPSession(tab.page);
    await tab.page.goto(url);
  },
  close: (tab) => tab.context?.close(),
  click: ({ page }, selector) => page.click(selector),
  check: ({ page }, selector, on) => page.setChecked(selector, on),
  fill: ({ page }, selector, text) => page.fill(selector, text),
  press: ({ page }, key) => page.keyboard.press(key),
  type: ({ page }, text) => page.keyboard.type(text),
  text: ({ page }, selector) => page.locator(selector).innerText(),
  // Wait until the element shows text that the pattern fits.
  wait: async ({ page, said }, selector, pattern) => {
    try {
      await page.locator(selector).filter({ hasText: new RegExp(pattern) }).first().waitFor();
    } catch {
      const texts = await page.locator(selector).allInnerTexts();
      throw new Error(`${selector} is ${JSON.stringify(texts)}, not ${pattern}; the page said ${JSON.stringify(said)}`);
    }
  },
  async evaluate({ debug }, expression) {
    const answer = await debug.send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (answer.exceptionDetails) throw new Error(JSON.stringify(answer.exceptionDetails));
    return answer.result.value ?? null;
  },
  resize: ({ page }, width, height) => page.setViewportSize({ width, height }),
  screenshot: async ({ page }, path) => void (await page.screenshot({ path })),
  // What a click has the browser save: the file's name and its text.
  save: async ({ page }, selector) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(selector)]);
    return [file.suggestedFilename(), fs.readFileSync(await file.path(), "utf8")];
  },
  said: (tab) => tab.said,
  asked: (tab) => tab.asked,
};

async function serve(connection) {
  const tab = { said: [], asked: [] };
  connection.on("error", () => {}); // It is closed then, too.
  connection.on("close", () => void tab.context?.close().catch(() => {}));
  for await (const line of readline.createInterface({ input: connection })) {
    const { id, do: action, with: given } = JSON.parse(line);
    let answer;
    try {
      answer = { id, gave: (await actions[action](tab, ...given)) ?? null };
    } catch (error) {
      answer = { id, failed: String(error.message) };
    }
    connection.write(`${JSON.stringify(answer)}\n`);
  }
}

async function main() {
  const starter = process.ppid;
  setInterval(() => process.ppid === starter || process.exit(), 500);
  browser = await chromium.launch({ executablePath: process.argv[2], args: ARGUMENTS });
  browser.on("disconnected", () => process.exit(1));
  net.createServer(serve).listen(process.argv[3]);
}

main();
