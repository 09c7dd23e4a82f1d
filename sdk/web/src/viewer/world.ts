// Worlds as the server tells of them.

import type { Page } from "./page";
import type { Server } from "./server";

export interface About {
  name: string;
  seed: number;
  kind: string;
  title: string;
  attribution: string;
  identity: string;
}

export class World {
  private constructor(readonly about: About) {}

  get name(): string {
    return this.about.name;
  }

  get seed(): number {
    return this.about.seed;
  }

  get identity(): string {
    return this.about.identity;
  }

  /** Whether it is flat and without bounds; then it touches the globe at 0 N 0 E. */
  get flat(): boolean {
    return this.about.kind === "plane";
  }

  /** Its tileset, with contents of so many segments a side, compressed. */
  tileset(segments: number): string {
    const shape = { segments: String(segments), compression: "meshopt", ...(this.flat ? { lon: "0", lat: "0" } : {}) };
    const url = tilesetOf(this.name, this.seed);
    return `${url}${url.includes("?") ? "&" : "?"}${new URLSearchParams(shape)}`;
  }

  /** The world that the server shows first. */
  static async default(server: Server, page: Page): Promise<World> {
    const known = await worlds(server);
    page.listWorlds(known);
    return new World(known[0]);
  }

  /** The world of a name and a seed, or null when there is none; the server opens it when asked for its tileset. */
  static async named(server: Server, name: string, seed: number): Promise<World | null> {
    const find = async (): Promise<About | undefined> => (await worlds(server)).find((about) => about.name === name && about.seed === seed);
    const open = await find();
    if (open) return new World(open);
    const response = await server.fetch(tilesetOf(name, seed));
    if (!response.ok) return null;
    const { asset } = await response.json();
    const { world, identity, copyright } = asset.extras;
    return new World((await find()) ?? { name: world, seed, kind: "planet", title: world, attribution: asset.copyright ?? copyright, identity });
  }
}

function tilesetOf(name: string, seed: number): string {
  return `./${encodeURIComponent(name).replaceAll("%3A", ":")}/tileset.json${seed ? `?seed=${seed}` : ""}`;
}

async function worlds(server: Server): Promise<About[]> {
  return (await (await server.fetch("./worlds")).json()).worlds;
}
