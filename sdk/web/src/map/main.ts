// The map page: the world's pictures and heights as MapLibre shows them, and ways from here into the viewer.

import "maplibre-gl/dist/maplibre-gl.css";
import "./style.css";
import { GlobeControl, MapLibreMap, NavigationControl, Popup, ScaleControl, setWorkerUrl, type LngLat, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import { formatLink } from "../viewer/link";
import { Server } from "../viewer/server";

const DEEPEST = 17;
const PITCH_3D = 62;

function element<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

function notice(text: string | null): void {
  element("notice").textContent = text ?? "";
  element("notice").hidden = text === null;
}

/** Where the server tells of a layer of a world. */
function tileJson(world: string, seed: number, layer: string): string {
  const query = new URLSearchParams({ layer, ...(seed ? { seed: String(seed) } : {}) });
  return new URL(`./${encodeURIComponent(world).replaceAll("%3A", ":")}/tilejson.json?${query}`, location.href).href;
}

function style(world: string, seed: number): StyleSpecification {
  const heights = { type: "raster-dem", url: tileJson(world, seed, "terrain-rgb"), tileSize: 256, encoding: "mapbox" } as const;
  return {
    version: 8,
    projection: { type: "globe" },
    sources: {
      imagery: { type: "raster", url: tileJson(world, seed, "imagery"), tileSize: 256 },
      heights,
      relief: heights, // MapLibre wants the source of its 3D terrain for itself
    },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": "#1d2730" } },
      { id: "imagery", type: "raster", source: "imagery", paint: { "raster-fade-duration": 150 } },
      { id: "hillshade", type: "hillshade", source: "heights", paint: { "hillshade-exaggeration": 0.4, "hillshade-shadow-color": "#0b1526" } },
    ],
    sky: { "sky-color": "#3f78b8", "horizon-color": "#cfdde8", "fog-color": "#cfdde8", "sky-horizon-blend": 0.6, "horizon-fog-blend": 0.6, "fog-ground-blend": 0.7 },
  };
}

/** A view of a place from the south, as far away as the map is. */
function linkTo(place: LngLat, height: number, map: MapLibreMap, world: string, seed: number): string {
  const away = Math.min(2e7, Math.max(600, 4e7 / 2 ** map.getZoom() / 2));
  const low = away < 2e5;
  const lat = low ? place.lat - (away * 1.6) / 111000 : place.lat;
  const view = { lat: Math.max(-85, lat), lon: place.wrap().lng, height: height + away, heading: 0, pitch: low ? -25 : -89 };
  return `./${formatLink({ view, world, seed, hour: null })}`;
}

async function heightAt(server: Server, place: LngLat, map: MapLibreMap, world: string, seed: number): Promise<number> {
  const level = Math.min(DEEPEST, Math.max(2, Math.round(map.getZoom())));
  const { lng, lat } = place.wrap();
  const query = new URLSearchParams({ lon: lng.toFixed(6), lat: lat.toFixed(6), level: String(level), ...(seed ? { seed: String(seed) } : {}) });
  const response = await server.fetch(`./${world}/heights?${query}`);
  return response.ok ? (await response.json()).points[0].height : 0;
}

async function start(): Promise<void> {
  const canvas = document.createElement("canvas");
  if (!canvas.getContext("webgl2")) return notice("This page draws with WebGL 2, which this browser does not offer or has turned off.");
  const server = new Server();
  server.onChange = (present) => (present ? location.reload() : notice("The server does not answer. The map goes on as soon as it does."));
  const query = new URLSearchParams(location.search);
  const { worlds } = await (await server.fetch("./worlds")).json();
  const world = query.get("world") ?? worlds[0].name;
  const seed = Math.max(0, Math.trunc(Number(query.get("seed") ?? (world === worlds[0].name ? worlds[0].seed : 0))) || 0);
  if (!(await server.fetch(tileJson(world, seed, "imagery"))).ok) return notice(`The server has no map of ${world}.`);
  setWorkerUrl(workerUrl);
  const map = new MapLibreMap({
    container: "map",
    style: style(world, seed),
    center: [8, 46],
    zoom: 4,
    maxZoom: DEEPEST,
    maxPitch: 80,
    hash: true,
    canvasContextAttributes: { preserveDrawingBuffer: false, antialias: true },
  });
  map.addControl(new NavigationControl({ visualizePitch: true }));
  map.addControl(new GlobeControl());
  map.addControl(new ScaleControl());
  attachLayers(map);
  map.on("click", async ({ lngLat }) => {
    const height = await heightAt(server, lngLat, map, world, seed);
    const link = document.createElement("a");
    link.href = linkTo(lngLat, height, map, world, seed);
    link.textContent = "Fly there";
    const text = document.createElement("p");
    text.append(`${lngLat.lat.toFixed(4)}, ${lngLat.wrap().lng.toFixed(4)}, ${height.toFixed(0)} m `, link);
    new Popup().setLngLat(lngLat).setDOMContent(text).addTo(map);
  });
  const follow = (): void => void (element<HTMLAnchorElement>("fly").href = linkTo(map.getCenter(), 0, map, world, seed));
  map.on("moveend", follow);
  follow();
  void server.watch();
  (window as unknown as { terraloom: object }).terraloom = { map };
}

function attachLayers(map: MapLibreMap): void {
  for (const id of ["imagery", "hillshade"]) {
    const box = element<HTMLInputElement>(id);
    box.addEventListener("change", () => map.setLayoutProperty(id, "visibility", box.checked ? "visible" : "none"));
  }
  const relief = element<HTMLInputElement>("relief");
  relief.addEventListener("change", () => {
    map.setTerrain(relief.checked ? { source: "relief", exaggeration: 1 } : null);
    map.easeTo({ pitch: relief.checked ? PITCH_3D : 0 });
  });
}

void start();
