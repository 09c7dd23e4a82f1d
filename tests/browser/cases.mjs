// What is done in the browser. Each case gets a page and says what it found; the tests in Python judge it.

const PATIENCE = 240_000;

/** Another renderer's page, with a magenta sky: what it loaded. */
export async function renderer({ page, server, local, shoot, file, view, world = "earth" }) {
  await page.goto(`${local}/${file}?view=${view}&tileset=${server}/${world}/tileset.json`);
  await page.waitForFunction(() => window.result, null, { timeout: PATIENCE });
  await shoot();
  return page.evaluate(() => window.result);
}

const figures = (page) => page.evaluate(() => window.terraloom.figures());

/** Waits until the viewer has drawn all that its view needs. */
async function settled(page) {
  await page.waitForFunction(() => window.terraloom?.figures().settled && window.terraloom.figures().drawn > 0, null, { timeout: PATIENCE });
  return figures(page);
}

/** Opens a deep link, flies for some seconds, and tells where it began and ended. */
export async function flight({ page, server, shoot, link, seconds }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  await page.waitForTimeout(600);
  const hash = await page.evaluate(() => location.hash);
  await shoot();
  const from = await page.evaluate(() => window.terraloom.view());
  await page.keyboard.down("KeyW");
  await page.waitForTimeout(seconds * 1000);
  await page.keyboard.up("KeyW");
  const place = () => JSON.stringify([window.terraloom.view(), location.hash]);
  for (let before = ""; before !== (before = await page.evaluate(place)); ) await page.waitForTimeout(1500); // until it has come to rest
  const to = await page.evaluate(() => window.terraloom.view());
  const kept = await page.evaluate(() => location.hash);
  await page.reload();
  await page.waitForFunction(() => window.terraloom, null, { timeout: PATIENCE });
  const restored = await page.evaluate(() => window.terraloom.view());
  return { hash, from, to, kept, restored, ...(await figures(page)) };
}

/** The server goes away and comes back while the viewer is open. */
export async function restart({ page, server, please, shoot, link, away }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  await please("stop the server");
  await page.evaluate((to) => window.terraloom.fly(to), away);
  await page.waitForFunction(() => !document.getElementById("notice").hidden, null, { timeout: PATIENCE });
  const notice = await page.textContent("#notice");
  await please("start the server");
  await page.waitForFunction(() => document.getElementById("notice").hidden, null, { timeout: PATIENCE });
  const found = await settled(page);
  await shoot();
  return { notice, ...found };
}

/** Every control of the viewer by keyboard alone, and what it says of itself. */
export async function keyboard({ page, server, link }) {
  await page.goto(`${server}/${link}`);
  await page.waitForFunction(() => window.terraloom, null, { timeout: PATIENCE });
  await page.keyboard.press("/");
  await page.keyboard.type("12.5 S, 30 E");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.terraloom.view().lat < -12, null, { timeout: PATIENCE });
  const sought = await page.evaluate(() => window.terraloom.view());
  const focused = await page.evaluate(() => document.activeElement.id);
  await page.keyboard.press("h");
  const help = await page.evaluate(() => document.getElementById("help").open);
  await page.keyboard.press("Escape");
  await page.keyboard.press("l");
  await page.waitForTimeout(700);
  const overlay = await page.textContent("#figures");
  const unnamed = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, canvas, a, output")].filter((element) => {
      const label = element.labels?.length || element.getAttribute("aria-label") || element.textContent.trim() || element.title;
      return !label;
    }).map((element) => element.id),
  );
  const outside = await page.evaluate(() =>
    performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => !name.startsWith(location.origin) && !/^(data|blob):/.test(name)),
  );
  return { sought, focused, help, overlay, unnamed, outside };
}

/** The map, flat and with its terrain raised; a click on it offers to fly there. */
export async function map({ page, server, shoot, place }) {
  await page.goto(`${server}/map#${place}`);
  const loaded = () => page.waitForFunction(() => window.terraloom?.map.loaded() && window.terraloom.map.areTilesLoaded(), null, { timeout: PATIENCE });
  await loaded();
  await page.click("#relief");
  await page.waitForFunction(() => window.terraloom.map.getPitch() > 55, null, { timeout: PATIENCE });
  await loaded();
  await page.mouse.click(240, 220);
  await page.waitForSelector(".maplibregl-popup a", { timeout: PATIENCE });
  const link = await page.getAttribute(".maplibregl-popup a", "href");
  const raised = await page.evaluate(() => window.terraloom.map.queryTerrainElevation(window.terraloom.map.getCenter()));
  await shoot();
  return { link, raised };
}
