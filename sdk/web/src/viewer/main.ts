// The page: wires the view to the hands, the panels and the address bar.

import "./style.css";
import { Page } from "./page";
import { parseLink, type Link } from "./link";
import { Server } from "./server";
import { World } from "./world";
import { View3D, qualityOf, type Quality } from "./view";

const USUAL: Link = { view: { lat: 46.35, lon: 7.9, height: 6000, heading: 150, pitch: -8 }, world: "earth", seed: 0, hour: 9 };
const HASH_SECONDS = 0.5;
/** Degrees from where a plane touches the globe; farther away its ground would lie far above. */
const MOST_DEGREES_OF_PLANE = 1;

function hasWebGL(): boolean {
  return document.createElement("canvas").getContext("webgl2") !== null;
}

async function start(): Promise<void> {
  const page = new Page();
  if (!hasWebGL()) {
    page.notice("This page draws with WebGL 2, which this browser does not offer or has turned off. The map at /map may work.");
    return;
  }
  const server = new Server();
  let world = await World.default(server, page);
  USUAL.world = world.name;
  const quality = qualityOf(localStorage.getItem("quality"));
  const view = new View3D(page.canvas, quality, server);
  let link = parseLink(location.hash, USUAL) ?? { ...USUAL, seed: world.seed };

  const open = async (next: Link): Promise<void> => {
    const changed = next.world !== world.name || next.seed !== world.seed || !view.open;
    if (changed) {
      const found = await World.named(server, next.world, next.seed);
      if (!found) return page.notice(`The server knows no world ${next.world}.`, 6);
      world = found;
      view.show(world);
      page.showWorld(world);
      if (world.flat && Math.hypot(next.view.lat, next.view.lon) > MOST_DEGREES_OF_PLANE) next = { ...next, view: { ...next.view, lat: 0, lon: 0 } };
    }
    link = next;
    view.fly(next.view, next.hour);
  };

  server.onChange = async (present) => {
    page.notice(present ? null : "The server does not answer. The view goes on as soon as it does.");
    if (!present) return;
    const fresh = await World.named(server, world.name, world.seed);
    if (fresh && fresh.identity !== world.identity) {
      world = fresh;
      view.show(world);
    }
    view.wake();
  };
  window.addEventListener("hashchange", () => {
    const asked = parseLink(location.hash, { ...USUAL, world: world.name });
    if (asked && location.hash !== view.link(world)) void open(asked);
  });
  page.attach(view, {
    open: (change) => void open({ ...link, view: view.pilot.view, hour: view.hour, world: world.name, seed: world.seed, ...change }),
    quality: (name: Quality) => {
      localStorage.setItem("quality", name);
      location.reload();
    },
  });
  setInterval(() => {
    const hash = view.link(world);
    if (!document.hidden && location.hash !== hash) history.replaceState(null, "", hash);
    page.tick(view, world);
  }, HASH_SECONDS * 1000);
  await open(link);
  void server.watch();
  (window as unknown as { terraloom: object }).terraloom = {
    view: () => view.pilot.view,
    fly: (to: Partial<Link["view"]>) => view.fly({ ...view.pilot.view, ...to }, view.hour),
    figures: () => view.figures(),
  };
}

void start();
