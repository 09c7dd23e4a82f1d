// What the overlay shows: frames, tiles, their latency, and holes looked for with rays.

import { Vector3, type PerspectiveCamera, type WebGLRenderer } from "three";
import { SEMI_MINOR } from "./geodesy";
import { quantile, type Server } from "./server";
import type { Terrain } from "./terrain";

/** A ray that passes this many metres below the sea's level must have met ground before. */
const DEPTH = 15000;

export class Figures {
  private frames: number[] = [];
  private drawn = 0;
  private rays = 0;
  private holes = 0;
  /** Milliseconds from the start of the page to the first frame that showed ground. */
  private firstGround: number | null = null;

  constructor(private readonly server: Server) {}

  /** A frame was drawn: tries one more ray. */
  drew(now: number, terrain: Terrain | null, camera: PerspectiveCamera): void {
    this.frames = [...this.frames.filter((time) => now - time < 2000), now];
    if (!terrain) return;
    if (this.firstGround === null && terrain.drawn > 0) this.firstGround = performance.now();
    if (this.firstGround === null) return;
    this.drawn++;
    const [x, y] = [((this.drawn * 0.754877) % 1) * 2 - 1, ((this.drawn * 0.56984) % 1) * 2 - 1];
    const direction = new Vector3(x, y, 0.5).unproject(camera).sub(camera.position).normalize();
    const along = -camera.position.dot(direction);
    const nearest = camera.position.clone().addScaledVector(direction, along);
    if (along < 0 || nearest.length() > SEMI_MINOR - DEPTH) return;
    this.rays++;
    if (!terrain.meets(x, y)) this.holes++;
  }

  all(terrain: Terrain | null, renderer: WebGLRenderer) {
    const stats = terrain?.tiles.stats;
    const recent = this.frames.filter((time) => time > performance.now() - 2000);
    return {
      fps: recent.length / 2,
      frames: this.drawn,
      drawn: terrain?.drawn ?? 0,
      triangles: renderer.info.render.triangles,
      inFlight: (stats?.downloading ?? 0) + (stats?.parsing ?? 0),
      queued: stats?.queued ?? 0,
      failed: stats?.failed ?? 0,
      cached: stats?.inCache ?? 0,
      p50: quantile(this.server.latencies, 0.5),
      p95: quantile(this.server.latencies, 0.95),
      rays: this.rays,
      holes: this.holes,
      firstGround: this.firstGround,
      settled: terrain !== null && !terrain.loading,
    };
  }
}
