// Runs one case in a real Chromium with software GL and prints what it found as one line of JSON.
//
//     node run.mjs CASE BROWSER SERVER SCREENSHOT [JSON]
//
// Cases that need something done to the server print {"please": ...} and go on when they read a line.

import { createServer } from "node:http";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import * as cases from "./cases.mjs";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
];
const HERE = dirname(fileURLToPath(import.meta.url));
const MODULES = [join(HERE, "node_modules"), join(HERE, "../../sdk/web/node_modules")];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json", ".css": "text/css" };

/** Serves the pages beside this file, and npm's packages under /modules/, from another origin than the server's. */
async function servePages() {
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url, "http://x").pathname);
    const files = path.startsWith("/modules/") ? MODULES.map((folder) => join(folder, path.slice(9))) : [join(HERE, path)];
    for (const file of files) {
      const body = await readFile(file).catch(() => null);
      if (body) return response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" }).end(body);
    }
    response.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const [name, executablePath, server, screenshot, options = "{}"] = process.argv.slice(2);
const profile = await mkdtemp(join(tmpdir(), "terraloom-browser-"));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const pages = await servePages();
const viewport = { width: 480, height: 320 };
const context = await chromium.launchPersistentContext(profile, { executablePath, headless: false, viewport, args: FLAGS, timeout: 60000 });
try {
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints = [];
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  const please = async (what) => {
    console.log(JSON.stringify({ please: what }));
    await lines.next();
  };
  const local = `http://127.0.0.1:${pages.address().port}`;
  const found = await cases[name]({ page, server, local, please, complaints, shoot: () => page.screenshot({ path: screenshot }), ...JSON.parse(options) });
  console.log(JSON.stringify({ ...found, complaints }));
} finally {
  await context.close();
  pages.close();
  await rm(profile, { recursive: true, force: true });
  process.exit();
}
