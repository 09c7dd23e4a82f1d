// The page round the picture: search, settings, clock, figures, messages, keys that are no flying.

import places from "../places.json";
import { parseCoordinates, type Link, type View } from "./link";
import type { Quality, View3D } from "./view";
import type { About, World } from "./world";

export interface Actions {
  open(change: Partial<Link>): void;
  quality(name: Quality): void;
}

const HOVER = 2500;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

export class Page {
  readonly canvas = element<HTMLCanvasElement>("view");
  private readonly hour = element<HTMLInputElement>("hour");
  private readonly query = element<HTMLInputElement>("query");
  private readonly noticeBox = element("notice");
  private noticed = 0;

  constructor() {
    element("places").append(...places.map((place) => new Option(place.name, place.name)));
  }

  /** Shows a message, for some seconds or until it is replaced; null takes it away. */
  notice(text: string | null, seconds = 0): void {
    clearTimeout(this.noticed);
    this.noticeBox.textContent = text ?? "";
    this.noticeBox.hidden = text === null;
    if (seconds) this.noticed = window.setTimeout(() => this.notice(null), seconds * 1000);
  }

  listWorlds(known: About[]): void {
    const options = known.map(({ name, seed, title }) => new Option(seed ? `${title} (seed ${seed})` : title, `${name},${seed}`));
    element<HTMLSelectElement>("world").replaceChildren(...options);
  }

  showWorld(world: World): void {
    const picker = element<HTMLSelectElement>("world");
    const value = `${world.name},${world.seed}`;
    if (![...picker.options].some((option) => option.value === value)) picker.add(new Option(`${world.about.title} (seed ${world.seed})`, value));
    picker.value = value;
    element<HTMLInputElement>("seed").value = String(world.seed);
    element("attribution").textContent = world.about.attribution;
    document.title = `Terraloom: ${world.about.title}`;
  }

  attach(view: View3D, actions: Actions): void {
    this.attachSearch(view, actions);
    this.attachSettings(view, actions);
    this.attachKeys(view);
    view.controls.attachPad(element("stick"), element("rise"), element("sink"));
    this.hour.addEventListener("input", () => view.setHour(Number(this.hour.value)));
    element("picture").addEventListener("click", () => void save(view));
    element("help-button").addEventListener("click", () => element<HTMLDialogElement>("help").showModal());
  }

  /** Twice a second: what changes by itself. */
  tick(view: View3D, world: World): void {
    const { lat, lon } = view.pilot.view;
    const hour = view.sun.hourAt(lon);
    if (document.activeElement !== this.hour) this.hour.value = String(hour);
    const minutes = Math.floor(hour * 60);
    element("clock").textContent = `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
    const sides = `${Math.abs(lat).toFixed(4)}° ${lat < 0 ? "S" : "N"}  ${Math.abs(lon).toFixed(4)}° ${lon < 0 ? "W" : "E"}`;
    element("where").textContent = `${sides}  ${metres(view.pilot.eyeHeight)}, ${metres(view.pilot.clearance)} above ground`;
    const zoom = Math.max(1, Math.min(17, 25 - Math.log2(Math.max(50, view.pilot.clearance))));
    const seed = world.seed ? `&seed=${world.seed}` : "";
    element<HTMLAnchorElement>("map-link").href = `./map?world=${encodeURIComponent(world.name)}${seed}#${zoom.toFixed(1)}/${lat.toFixed(5)}/${lon.toFixed(5)}`;
    if (!element("overlay").hidden) element("figures").textContent = figureText(view);
  }

  private attachSearch(view: View3D, actions: Actions): void {
    element("search").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = this.query.value.trim();
      const named = places.find((place) => place.name.toLowerCase() === text.toLowerCase());
      const point = parseCoordinates(text);
      if (named) actions.open({ view: named, hour: named.hour });
      else if (point) actions.open({ view: above(point, view.pilot.view) });
      else return this.notice(`"${text}" is neither a place of the list nor a latitude and a longitude, such as 45.98, 7.66.`, 6);
      this.canvas.focus();
    });
    this.query.addEventListener("change", () => {
      if (places.some((place) => place.name === this.query.value)) element<HTMLFormElement>("search").requestSubmit();
    });
  }

  private attachSettings(view: View3D, actions: Actions): void {
    const button = element("settings-button");
    button.addEventListener("click", () => {
      const panel = element("settings");
      panel.hidden = !panel.hidden;
      button.setAttribute("aria-expanded", String(!panel.hidden));
    });
    const picker = element<HTMLSelectElement>("world");
    picker.addEventListener("change", () => {
      const [name, seed] = picker.value.split(",");
      actions.open({ world: name, seed: Number(seed) });
    });
    const other = element<HTMLInputElement>("other-world");
    other.addEventListener("change", () => other.value.trim() && actions.open({ world: other.value.trim(), seed: 0 }));
    const seed = element<HTMLInputElement>("seed");
    seed.addEventListener("change", () => actions.open({ seed: Math.max(0, Math.trunc(Number(seed.value))) }));
    const quality = element<HTMLSelectElement>("quality");
    quality.value = view.quality;
    quality.addEventListener("change", () => actions.quality(quality.value as Quality));
    const check = (id: string, apply: (on: boolean) => void): void =>
      element(id).addEventListener("change", (event) => apply((event.target as HTMLInputElement).checked));
    check("wireframe", (on) => view.drawWires(on));
    check("levels", (on) => view.paintLevels(on));
    check("overlay-shown", (on) => (element("overlay").hidden = !on));
  }

  private attachKeys(view: View3D): void {
    const boxes: Record<string, string> = { l: "overlay-shown", c: "levels", g: "wireframe" };
    window.addEventListener("keydown", (event) => {
      const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
      if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase();
      if (key in boxes) element(boxes[key]).click();
      else if (key === "t") view.setHour((view.sun.hourAt(view.pilot.view.lon) + (event.shiftKey ? 23.75 : 0.25)) % 24);
      else if (key === "p") void save(view);
      else if (key === "h" || key === "?") element<HTMLDialogElement>("help").showModal();
      else if (key === "/") {
        event.preventDefault();
        this.query.focus();
      }
    });
  }
}

/** Looks at a point from the south, from some height. */
function above({ lat, lon }: { lat: number; lon: number }, now: View): View {
  return { lat: Math.max(-90, lat - 0.02), lon, height: Math.min(Math.max(now.height, HOVER), 12000), heading: 0, pitch: -20 };
}

function metres(value: number): string {
  return value < 10000 ? `${value.toFixed(value < 100 ? 1 : 0)} m` : `${(value / 1000).toFixed(value < 100000 ? 1 : 0)} km`;
}

function figureText(view: View3D): string {
  const { fps, drawn, triangles, inFlight, queued, failed, cached, p50, p95, rays, holes, firstGround } = view.figures();
  const count = (value: number): string => (Number.isNaN(value) ? "-" : value.toFixed(0));
  return [
    `frames/s       ${fps.toFixed(1)}`,
    `tiles drawn    ${drawn} (${(triangles / 1e6).toFixed(2)} M triangles)`,
    `in flight      ${inFlight}, ${queued} queued`,
    `loaded         ${cached}, ${failed} failed`,
    `load p50/p95   ${count(p50)} / ${count(p95)} ms`,
    `holes          ${holes} of ${rays} rays`,
    `first ground   ${firstGround === null ? "-" : (firstGround / 1000).toFixed(2)} s`,
  ].join("\n");
}

async function save(view: View3D): Promise<void> {
  const blob = await view.picture();
  if (!blob) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `terraloom ${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
