// The picture: one camera over one world under one sun, drawn when something has changed.

import { Matrix3, Matrix4, NoToneMapping, PerspectiveCamera, Scene, Vector2, Vector3, WebGLRenderer, LinearSRGBColorSpace, type IUniform } from "three";
import { STRETCH, airTables } from "./air";
import { Controls } from "./controls";
import { Figures } from "./figures";
import { Ground } from "./ground";
import { formatLink, type View } from "./link";
import { Pilot } from "./pilot";
import type { Server } from "./server";
import { Sky } from "./sky";
import { Sun } from "./sun";
import { Terrain } from "./terrain";
import type { World } from "./world";

export type Quality = "low" | "standard" | "high";

interface Settings {
  /** Pixels of screen-space error, as the gRPC selection has it by default at 16. */
  error: number;
  pixelRatio: number;
  segments: number;
  steps: number;
  sky: { steps: number; size: [number, number] };
  detail: boolean;
  shine: boolean;
  antialias: boolean;
  anisotropy: number;
}

const SETTINGS: Record<Quality, Settings> = {
  low: { error: 16, pixelRatio: 1, segments: 32, steps: 4, sky: { steps: 12, size: [64, 96] }, detail: true, shine: true, antialias: false, anisotropy: 2 },
  standard: { error: 16, pixelRatio: 1.5, segments: 64, steps: 6, sky: { steps: 20, size: [128, 192] }, detail: true, shine: true, antialias: true, anisotropy: 8 },
  high: { error: 8, pixelRatio: 2, segments: 64, steps: 8, sky: { steps: 32, size: [192, 256] }, detail: true, shine: true, antialias: true, anisotropy: 16 },
};
const FIELD_OF_VIEW = 55;
const FARTHEST = 1e9;
const MOST_SECONDS = 0.1;
/** Milliseconds of a frame that count as smooth, and as the slowest that matters. */
const SMOOTH = 40;
const SLOWEST = 1000;
/** Frames that a slow machine waits before it draws what arrived. */
const PATIENCE = 4;

/** The quality that was chosen, else what the machine is likely to bear. */
export function qualityOf(chosen: string | null): Quality {
  const asked = new URLSearchParams(location.search).get("quality") ?? chosen;
  if (asked && asked in SETTINGS) return asked as Quality;
  const context = document.createElement("canvas").getContext("webgl2");
  const name = context?.getExtension("WEBGL_debug_renderer_info");
  const renderer = name ? String(context?.getParameter(name.UNMASKED_RENDERER_WEBGL)) : "";
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|software|basic render/i.test(renderer) ? "low" : "standard";
}

export class View3D {
  readonly pilot = new Pilot();
  readonly controls: Controls;
  readonly sun = new Sun();
  private readonly renderer: WebGLRenderer;
  private readonly scene = new Scene();
  private readonly camera = new PerspectiveCamera(FIELD_OF_VIEW, 1, 0.3, FARTHEST);
  private readonly settings: Settings;
  private readonly shared: Record<string, IUniform>;
  private readonly sky: Sky;
  private readonly ground: Ground;
  private readonly measured: Figures;
  private terrain: Terrain | null = null;
  private dirty = true;
  private wireframe = false;
  private last = 0;
  private drawn = 0;
  private drew = false;
  /** Milliseconds that a frame takes, about. */
  private cost = SMOOTH;
  /** Whether tiles came since the last frame. */
  private arrived = false;

  constructor(
    readonly canvas: HTMLCanvasElement,
    readonly quality: Quality,
    private readonly server: Server,
  ) {
    this.settings = SETTINGS[quality];
    this.renderer = new WebGLRenderer({ canvas, antialias: this.settings.antialias, powerPreference: "high-performance" });
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, this.settings.pixelRatio));
    this.renderer.toneMapping = NoToneMapping;
    this.renderer.outputColorSpace = LinearSRGBColorSpace; // shaders develop their light themselves
    const tables = airTables();
    this.shared = uniforms(tables);
    this.sky = new Sky(this.shared, this.scene, this.settings.sky.steps, this.settings.sky.size);
    this.ground = new Ground(this.shared, this.settings);
    this.controls = new Controls(canvas, this.pilot, () => this.camera.fov);
    this.controls.onInput = () => this.wake();
    this.measured = new Figures(server);
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => this.wake());
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
    requestAnimationFrame((now) => this.frame(now));
  }

  /** Whether a world is shown. */
  get open(): boolean {
    return this.terrain !== null;
  }

  show(world: World): void {
    this.terrain?.dispose();
    this.terrain = new Terrain(world.tileset(this.settings.segments), this.camera, this.server, this.ground, this.settings.anisotropy);
    this.terrain.tiles.errorTarget = this.settings.error;
    this.terrain.onChange = () => (this.arrived = true);
    this.scene.add(this.terrain.group);
    this.pilot.ground = null;
    this.wake();
  }

  fly(view: View, hour: number | null): void {
    this.pilot.fly(view);
    this.sun.setHour(hour, view.lon);
    this.sun.setSeason(view.lat);
    this.wake();
  }

  setHour(hour: number): void {
    this.sun.setHour(hour, this.pilot.view.lon);
    this.wake();
  }

  /** The hour that was chosen, as it is here, or null. */
  get hour(): number | null {
    return this.sun.chosen ? this.sun.hourAt(this.pilot.view.lon) : null;
  }

  link(world: World): string {
    const { view } = this.pilot;
    return formatLink({ view, world: world.name, seed: world.seed, hour: this.hour });
  }

  figures(): ReturnType<Figures["all"]> {
    return this.measured.all(this.terrain, this.renderer);
  }

  paintLevels(on: boolean): void {
    this.shared.uPainted.value = on ? 0.6 : 0;
    this.wake();
  }

  drawWires(on: boolean): void {
    this.wireframe = on;
    this.wake();
  }

  /** Draws at least one more frame. */
  wake(): void {
    this.dirty = true;
  }

  /** The picture on the screen, as a PNG. */
  picture(): Promise<Blob | null> {
    this.draw();
    return new Promise((resolve) => this.canvas.toBlob(resolve, "image/png"));
  }

  private frame(now: number): void {
    requestAnimationFrame((next) => this.frame(next));
    const interval = now - this.last;
    this.last = now;
    if (this.drew) this.cost += 0.5 * (Math.min(interval, SLOWEST) - this.cost);
    this.drew = false;
    const seconds = Math.min(MOST_SECONDS, interval / 1000);
    if (this.controls.apply(seconds)) this.wake();
    if (document.hidden || (!this.dirty && !this.arrived)) return;
    const wanted = this.dirty;
    this.dirty = this.arrived = false;
    this.settleOnGround();
    // New tiles alone do not hurry a slow machine: it has better things to do than to draw each of them.
    if (!wanted && now - this.drawn < PATIENCE * (this.cost - SMOOTH)) {
      this.arrived = true;
      return;
    }
    this.drew = true;
    this.drawn = now;
    this.shared.uTime.value += seconds;
    this.draw();
    this.measured.drew(now, this.terrain, this.camera);
  }

  private settleOnGround(): void {
    this.pilot.apply(this.camera);
    if (!this.terrain) return;
    this.terrain.update(this.canvas.clientWidth, this.canvas.clientHeight);
    const from = this.pilot.position.clone();
    this.pilot.meetGround(this.terrain.heightBelow(from, this.pilot.up));
    this.pilot.apply(this.camera);
    if (this.pilot.position.distanceToSquared(from) > 1e-6) this.arrived = true; // tiles were chosen for another place
  }

  private draw(): void {
    this.terrain?.setWireframe(this.wireframe);
    this.light();
    this.sky.update(this.renderer);
    this.renderer.render(this.scene, this.camera);
  }

  /** Uniforms of the moment. */
  private light(): void {
    const { shared, camera } = this;
    const { view } = this.pilot;
    const height = Math.max(0, view.height, (this.pilot.ground ?? 0) + 1) / 1000;
    shared.uCamera.value.copy(camera.position).divideScalar(1000);
    shared.uCamera.value.z *= STRETCH;
    shared.uHeight.value = height;
    this.sun.direction(shared.uTrueSun.value);
    shared.uSun.value.copy(shared.uTrueSun.value);
    shared.uSun.value.z *= STRETCH;
    shared.uSun.value.normalize();
    shared.uEcefFromView.value.setFromMatrix4(camera.matrixWorld as Matrix4);
    const tangent = Math.tan((camera.fov * Math.PI) / 360);
    shared.uScreen.value.set(tangent * camera.aspect, tangent);
    const { exposure, stars } = this.sun.eyes(this.pilot.up, height);
    shared.uExposure.value = exposure;
    shared.uStars.value = stars;
    this.sky.stars.visible = stars > 0.01;
  }

  private resize(): void {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.camera.aspect = clientWidth / clientHeight;
    this.camera.updateProjectionMatrix();
    this.wake();
  }
}

function uniforms({ transmittance, multiple, irradiance }: ReturnType<typeof airTables>): Record<string, IUniform> {
  return {
    uTransmittance: { value: transmittance },
    uMultiple: { value: multiple },
    uIrradiance: { value: irradiance },
    uCamera: { value: new Vector3() },
    uHeight: { value: 0 },
    uSun: { value: new Vector3() },
    uTrueSun: { value: new Vector3() },
    uSunlight: { value: 10 },
    uExposure: { value: 1 },
    uNight: { value: new Vector3(0.004, 0.005, 0.008) },
    uStars: { value: 0 },
    uEcefFromView: { value: new Matrix3() },
    uScreen: { value: new Vector2() },
    uSky: { value: null },
    uSkySize: { value: null },
    uLogDepth: { value: 1 / Math.log2(FARTHEST + 1) },
    uPainted: { value: 0 },
    uTime: { value: 0 },
  };
}
