// Runs cases in one real Chromium with software GL. Each line of the input asks for one, and each is answered by one line of JSON:
//
//     node run.mjs BROWSER
//     {"name": CASE, "server": URL, "pictures": FOLDER, "options": {...}}   ->   {"found": {...}} or {"error": "..."}
//
// Cases that need something done to the server say {"please": ...} and go on when they read another line.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { dirname, extname, join, normalize } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import * as cases from "./cases.mjs";

const FLAGS = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
  "--disable-sync", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
];
const PATIENCE = 240_000;
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

const say = (message) => console.log(JSON.stringify(message));
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const pages = await servePages();
const browser = await chromium.launch({ executablePath: process.argv[2], headless: false, args: FLAGS, timeout: PATIENCE });

/** One case in a context of its own: nothing is cached, nothing stored. What it returns goes out with what the console complained of. */
async function run({ name, server, pictures, options }) {
  const { size = [480, 320], touch = false, ...rest } = options;
  const viewport = { width: size[0], height: size[1] };
  const context = await browser.newContext({ viewport, hasTouch: touch, reducedMotion: "reduce", acceptDownloads: true });
  context.setDefaultTimeout(PATIENCE);
  try {
    const page = await context.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
    const please = async (what) => {
      say({ please: what });
      await lines.next();
    };
    const shoot = (picture = "picture") => page.screenshot({ path: join(pictures, `${picture}.png`) });
    const local = `http://127.0.0.1:${pages.address().port}`;
    return { ...(await cases[name]({ page, server, local, please, shoot, pictures, ...rest })), complaints };
  } finally {
    await context.close();
  }
}

for await (const line of lines) {
  await run(JSON.parse(line)).then(
    (found) => say({ found }),
    (error) => say({ error: String(error.stack ?? error) }),
  );
}
await browser.close();
pages.close();
