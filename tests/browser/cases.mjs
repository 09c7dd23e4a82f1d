// What is done in the browser. Each case gets a page and says what it found; the tests in Python judge it.

/** Another renderer's page, with a magenta sky, at one place after the other: what it loaded, and a picture of each. */
export async function renderer({ page, server, local, shoot, file, views, error, world = "earth" }) {
  await page.goto(`${local}/${file}?error=${error}&tileset=${server}/${world}/tileset.json`);
  await page.waitForFunction(() => window.look);
  const seen = {};
  for (const [place, view] of Object.entries(views)) {
    seen[place] = await page.evaluate((to) => window.look(to), view);
    await shoot(place);
  }
  return { seen };
}

const figures = (page) => page.evaluate(() => window.terraloom.figures());

/** Leaves the ground and the sky alone on the screen. */
const bare = (page) => page.addStyleTag({ content: ".bar, .panel { visibility: hidden }" });

/** Waits until the viewer has drawn all that its view needs. */
async function settled(page) {
  await page.waitForFunction(() => window.terraloom?.figures().settled && window.terraloom.figures().drawn > 0);
  return figures(page);
}

/** Waits until the page had a few frames, so that the viewer knows of what was just changed: it draws when there is something new, and not in between. */
const redrawn = (page) => page.evaluate(async () => {
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
});

/** Opens a deep link, flies for some seconds, and tells where it began and ended; then whether the address restores the view. */
export async function flight({ page, server, shoot, link, seconds }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  await page.waitForTimeout(600);
  const hash = await page.evaluate(() => location.hash);
  await bare(page);
  await shoot();
  const [from, before] = await page.evaluate(() => [window.terraloom.view(), window.terraloom.figures().frames]);
  await page.keyboard.down("KeyW");
  await page.waitForTimeout(seconds * 1000);
  await page.keyboard.up("KeyW");
  await shoot("landed");
  const place = () => JSON.stringify([window.terraloom.view(), location.hash]);
  for (let last = ""; last !== (last = await page.evaluate(place)); ) { // until it has come to rest
    await redrawn(page);
    await page.waitForTimeout(1500);
  }
  const to = await page.evaluate(() => window.terraloom.view());
  const flown = await figures(page);
  await page.reload();
  await page.waitForFunction(() => window.terraloom);
  const restored = await page.evaluate(() => window.terraloom.view());
  return { hash, from, to, restored, ...flown, frames: flown.frames - before };
}

/** Creeps forward, one settled picture a step, and goes back to where it began: what changed on the way, and whether the first view is the same again. */
export async function creep({ page, server, shoot, link, steps, stride }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  await bare(page);
  const start = await page.evaluate(() => window.terraloom.view());
  for (let step = 0; step <= steps; step++) {
    const lat = start.lat + (step % steps) * stride; // the last is the first again
    await page.evaluate((to) => window.terraloom.fly({ lat: to }), lat);
    await redrawn(page);
    await page.waitForTimeout(300);
    await settled(page);
    await shoot(`step${step}`);
  }
  return figures(page);
}

/** The server goes away and comes back while the viewer is open. */
export async function restart({ page, server, please, shoot, link, away }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  await please("stop the server");
  await page.evaluate((to) => window.terraloom.fly(to), away);
  await page.waitForFunction(() => !document.getElementById("notice").hidden);
  const notice = await page.textContent("#notice");
  await please("start the server");
  await page.waitForFunction(() => document.getElementById("notice").hidden);
  const found = await settled(page);
  await bare(page);
  await shoot();
  return { notice, ...found };
}

/** Every control of the viewer by keyboard alone, and what it says of itself. */
export async function keyboard({ page, server, link }) {
  await page.goto(`${server}/${link}`);
  await page.waitForFunction(() => window.terraloom);
  await page.keyboard.press("/");
  await page.keyboard.type("12.5 S, 30 E");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.terraloom.view().lat < -12);
  const sought = await page.evaluate(() => window.terraloom.view());
  const focused = await page.evaluate(() => document.activeElement.id);
  await page.keyboard.press("h");
  const help = await page.evaluate(() => document.getElementById("help").open);
  await page.keyboard.press("Escape");
  await page.keyboard.press("l");
  await page.waitForFunction(() => document.getElementById("figures").textContent.includes("holes"));
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

/** Every control of the viewer by mouse: what each changes, and a picture of it. */
export async function controls({ page, server, shoot, pictures, link }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  const seen = async (name) => {
    await redrawn(page);
    await page.waitForTimeout(400);
    await settled(page);
    await shoot(name);
  };
  await seen("plain");
  await page.click("#settings-button");
  await page.check("#wireframe");
  await seen("wireframe");
  await page.uncheck("#wireframe");
  await page.check("#levels");
  await seen("levels");
  await page.uncheck("#levels");
  await page.check("#overlay-shown");
  await page.waitForFunction(() => document.getElementById("figures").textContent.includes("tiles drawn"));
  const overlay = await page.textContent("#figures");
  await page.uncheck("#overlay-shown");
  await page.fill("#hour", "0");
  await seen("midnight");
  await page.waitForFunction(() => document.getElementById("clock").textContent === "00:00");
  const clock = await page.textContent("#clock");
  await page.fill("#hour", "12");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#picture")]);
  await download.saveAs(`${pictures}/saved.png`);
  await page.fill("#query", "nowhere at all");
  await page.click("#search button");
  const refused = await page.textContent("#notice");
  await page.fill("#query", "Everest");
  await page.click("#search button");
  const named = await page.evaluate(() => window.terraloom.view());
  await page.evaluate(() => window.terraloom.fly({ lat: 0.2, lon: 0.2, height: 3e6, pitch: -89 }));
  await page.fill("#seed", "5");
  await page.press("#seed", "Enter");
  await page.waitForFunction(() => location.hash.includes(",earth,5"));
  await settled(page);
  const worlds = { seeded: await figures(page) };
  await page.fill("#other-world", "plane:3");
  await page.press("#other-world", "Enter");
  await page.waitForFunction(() => location.hash.includes(",plane:3"));
  await settled(page);
  worlds.plane = await figures(page);
  await page.selectOption("#world", { index: 0 });
  await page.waitForFunction(() => /,earth(,0,|$)/.test(location.hash));
  await settled(page);
  worlds.first = await figures(page);
  return { overlay, clock, refused, named, worlds };
}

/** Fingers on the screen: one looks, two move, the stick flies. */
export async function touch({ page, server, link }) {
  await page.goto(`${server}/${link}`);
  await settled(page);
  const session = await page.context().newCDPSession(page);
  const send = (type, ...points) => session.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
  const view = () => page.evaluate(() => window.terraloom.view());
  const before = await view();
  await send("touchStart", [200, 120]);
  await send("touchMove", [150, 130]);
  await send("touchEnd");
  const looked = await view();
  await send("touchStart", [220, 120], [260, 120]);
  await send("touchMove", [180, 120], [300, 120]);
  await send("touchEnd");
  const pinched = await view();
  const { x, y, width, height } = await page.locator("#rise").boundingBox();
  await send("touchStart", [x + width / 2, y + height / 2]);
  await page.waitForFunction((height) => window.terraloom.view().height > 1.01 * height, pinched.height);
  await send("touchEnd");
  return { before, looked, pinched };
}

/** A browser without WebGL. */
export async function blind({ page, server }) {
  await page.addInitScript(() => (HTMLCanvasElement.prototype.getContext = () => null));
  await page.goto(`${server}/`);
  return { notice: await page.textContent("#notice") };
}

/** The map, flat and with its terrain raised; a click on it offers to fly there. */
export async function map({ page, server, shoot, place }) {
  await page.goto(`${server}/map#${place}`);
  const loaded = () => page.waitForFunction(() => window.terraloom?.map.loaded() && window.terraloom.map.areTilesLoaded());
  await loaded();
  await page.click("#relief");
  await page.waitForFunction(() => window.terraloom.map.getPitch() > 55);
  await loaded();
  await page.mouse.click(200, 140);
  await page.waitForSelector(".maplibregl-popup a");
  const link = await page.getAttribute(".maplibregl-popup a", "href");
  const raised = await page.evaluate(() => window.terraloom.map.queryTerrainElevation(window.terraloom.map.getCenter()));
  await shoot();
  return { link, raised };
}
