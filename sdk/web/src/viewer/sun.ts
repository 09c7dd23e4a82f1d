// The sun: where it stands at an hour of a place, and how eyes adapt to it.

import type { Vector3 } from "three";

/** Degrees from the equator, on the side where one arrived: a day in early May or August in the north, November or February in the south. */
const DECLINATION = 16;
const USUAL_HOUR = 9.5;
const RADIANS = Math.PI / 180;

export class Sun {
  /** Hour that was chosen; otherwise it is the usual one wherever one goes. */
  chosen = false;
  /** Degrees east at which it is noon. */
  private longitude = 0;
  private side = 1;

  setHour(hour: number | null, lon: number): void {
    this.chosen = hour !== null;
    this.longitude = lon - 15 * ((hour ?? USUAL_HOUR) - 12);
  }

  /** Makes it summer at a latitude: beyond the polar circle it would be night else. */
  setSeason(lat: number): void {
    this.side = lat < 0 ? -1 : 1;
  }

  /** Local solar time of a longitude in hours. */
  hourAt(lon: number): number {
    return (((12 + (lon - this.longitude) / 15) % 24) + 24) % 24;
  }

  /** Towards the sun, earth-centred. */
  direction(target: Vector3): Vector3 {
    const [delta, lambda] = [this.side * DECLINATION * RADIANS, this.longitude * RADIANS];
    return target.set(Math.cos(delta) * Math.cos(lambda), Math.cos(delta) * Math.sin(lambda), Math.sin(delta));
  }

  /** Exposure of the picture and brightness of the stars for eyes at a height in kilometres. */
  eyes(up: Vector3, height: number): { exposure: number; stars: number } {
    const rise = Math.asin(this.direction(up.clone()).dot(up)) / RADIANS;
    const day = smooth(-10, 12, rise);
    const space = smooth(30, 200, height);
    const exposure = 0.58 * (1 - 0.45 * space) * (1 + 6 * (1 - day) ** 2 * (1 - space));
    return { exposure, stars: Math.max(1 - smooth(-12, -4, rise), smooth(50, 150, height)) };
  }
}

function smooth(low: number, high: number, value: number): number {
  const t = Math.min(1, Math.max(0, (value - low) / (high - low)));
  return t * t * (3 - 2 * t);
}
