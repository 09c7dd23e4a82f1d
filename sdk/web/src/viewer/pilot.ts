// Where the viewer is and looks, and how it flies: faster the higher it is, level over a round Earth, never below the ground.

import { Matrix4, Vector3, type PerspectiveCamera } from "three";
import { HIGHEST, type View } from "./link";
import { ecefFromLocal, ecefFromPlace, placeFromEcef, wrapDegrees, type Place } from "./geodesy";

/** Eyes above the ground, in metres. */
const EYES = 1.8;
const SLOWEST = 3;
/** Heights above the ground that are flown in a second. */
const PACE = 0.7;
const HASTE = 4;
/** Seconds in which speed follows the keys. */
const INERTIA = 0.18;
const STEEPEST = 89.5;
const RADIANS = Math.PI / 180;

/** What the controls ask for: each from -1 to 1. */
export interface Wish {
  forward: number;
  right: number;
  up: number;
  haste: boolean;
}

export class Pilot {
  readonly position = new Vector3();
  readonly up = new Vector3();
  heading = 0;
  pitch = 0;
  /** Metres a second, as asked for by the keys and reached by inertia. */
  speed = 0;
  /** Height of the ground below, or null while none is known. */
  ground: number | null = null;
  private place: Place = { lat: 0, lon: 0, height: 0 };
  private readonly velocity = new Vector3(); // right, forward, up
  private readonly axes = new Matrix4();

  get view(): View {
    return { ...this.place, heading: (this.heading + 360) % 360, pitch: this.pitch };
  }

  /** Metres above the ground, or above the sea while the ground is not known. */
  get clearance(): number {
    return Math.max(EYES, this.eyeHeight - (this.ground ?? 0));
  }

  /** Metres above the sea where the eye really is: on the ground when the view's height lies below it. */
  get eyeHeight(): number {
    return this.ground === null ? this.place.height : Math.max(this.place.height, this.ground + EYES);
  }

  fly(view: View): void {
    this.place = { lat: view.lat, lon: wrapDegrees(view.lon), height: view.height };
    this.heading = view.heading;
    this.pitch = Math.min(STEEPEST, Math.max(-STEEPEST, view.pitch));
    this.velocity.set(0, 0, 0);
    this.ground = null;
    this.settle();
  }

  look(right: number, up: number): void {
    this.heading = wrapDegrees(this.heading + right);
    this.pitch = Math.min(STEEPEST, Math.max(-STEEPEST, this.pitch + up));
  }

  /** Moves by `seconds` of what is wished; says whether anything moved. */
  advance(wish: Wish, seconds: number): boolean {
    const pace = Math.max(SLOWEST, PACE * this.clearance) * (wish.haste ? HASTE : 1);
    const target = new Vector3(wish.right, wish.forward, wish.up).multiplyScalar(pace);
    this.velocity.lerp(target, 1 - Math.exp(-seconds / INERTIA));
    if (target.lengthSq() === 0 && this.velocity.length() < 0.02 * pace) this.velocity.set(0, 0, 0);
    this.speed = this.velocity.length();
    if (this.speed === 0) return false;
    this.step(this.velocity.x * seconds, this.velocity.y * seconds, this.velocity.z * seconds);
    return true;
  }

  /** A step of metres: to the right, along the line of sight, and up. */
  step(right: number, forward: number, up: number): void {
    const [sinHeading, cosHeading] = [Math.sin(this.heading * RADIANS), Math.cos(this.heading * RADIANS)];
    const [sinPitch, cosPitch] = [Math.sin(this.pitch * RADIANS), Math.cos(this.pitch * RADIANS)];
    const height = Math.min(HIGHEST, this.eyeHeight + forward * sinPitch + up);
    const level = new Vector3(sinHeading, cosHeading, 0);
    const course = level.clone().multiplyScalar(forward * cosPitch).add(new Vector3(cosHeading, -sinHeading, 0).multiplyScalar(right));
    const look = level.transformDirection(this.axes);
    ecefFromPlace({ ...this.place, height }, this.position).add(course.applyMatrix4(this.axes));
    this.place = { ...placeFromEcef(this.position), height };
    if (this.ground !== null) this.place.height = Math.max(height, this.ground + EYES);
    this.settle();
    look.applyMatrix4(new Matrix4().copy(this.axes).transpose());
    this.heading = Math.atan2(look.x, look.y) / RADIANS;
  }

  /** Takes note of the ground below; the eye stays above it, and comes down again when finer ground turns out to be lower. */
  meetGround(height: number | null): void {
    if (height !== null) this.ground = height;
    this.settle();
  }

  apply(camera: PerspectiveCamera): void {
    const [heading, pitch] = [this.heading * RADIANS, this.pitch * RADIANS];
    const local = (x: number, y: number, z: number): Vector3 => new Vector3(x, y, z).transformDirection(this.axes);
    const forward = local(Math.sin(heading) * Math.cos(pitch), Math.cos(heading) * Math.cos(pitch), Math.sin(pitch));
    const right = local(Math.cos(heading), -Math.sin(heading), 0);
    const above = new Vector3().crossVectors(right, forward);
    camera.position.copy(this.position);
    camera.quaternion.setFromRotationMatrix(new Matrix4().makeBasis(right, above, forward.negate()));
    camera.updateMatrixWorld(true);
  }

  private settle(): void {
    ecefFromLocal(this.place, this.axes);
    ecefFromPlace({ ...this.place, height: this.eyeHeight }, this.position);
    this.up.setFromMatrixColumn(this.axes, 2);
  }
}
