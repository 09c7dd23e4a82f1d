// WGS84 in double precision: places in degrees and metres, points in earth-centred earth-fixed metres (x at 0 E, z to the north).

import { Matrix4, Vector3 } from "three";

export const SEMI_MAJOR = 6378137;
const FLATTENING = 1 / 298.257223563;
const E2 = FLATTENING * (2 - FLATTENING);
export const SEMI_MINOR = SEMI_MAJOR * (1 - FLATTENING);
const RADIANS = Math.PI / 180;

export interface Place {
  lat: number;
  lon: number;
  /** Metres above the ellipsoid, which this world takes for mean sea level. */
  height: number;
}

export function ecefFromPlace({ lat, lon, height }: Place, target = new Vector3()): Vector3 {
  const phi = lat * RADIANS;
  const lambda = lon * RADIANS;
  const vertical = SEMI_MAJOR / Math.sqrt(1 - E2 * Math.sin(phi) ** 2);
  const across = (vertical + height) * Math.cos(phi);
  return target.set(across * Math.cos(lambda), across * Math.sin(lambda), (vertical * (1 - E2) + height) * Math.sin(phi));
}

/** Inverse of `ecefFromPlace` by Bowring's iteration: exact to micrometres from the ground to far out in space. */
export function placeFromEcef({ x, y, z }: Vector3): Place {
  const across = Math.hypot(x, y);
  let beta = Math.atan2(z * SEMI_MAJOR, across * SEMI_MINOR);
  let phi = 0;
  for (let step = 0; step < 4; step++) {
    const second = E2 / (1 - E2);
    phi = Math.atan2(z + second * SEMI_MINOR * Math.sin(beta) ** 3, across - E2 * SEMI_MAJOR * Math.cos(beta) ** 3);
    beta = Math.atan2((1 - FLATTENING) * Math.sin(phi), Math.cos(phi));
  }
  const vertical = SEMI_MAJOR / Math.sqrt(1 - E2 * Math.sin(phi) ** 2);
  const height = across * Math.cos(phi) + z * Math.sin(phi) - vertical * (1 - E2 * Math.sin(phi) ** 2);
  return { lat: phi / RADIANS, lon: Math.atan2(y, x) / RADIANS, height };
}

/** East, north and up at a place, as columns. */
export function ecefFromLocal({ lat, lon }: Place, target = new Matrix4()): Matrix4 {
  const [sinPhi, cosPhi] = [Math.sin(lat * RADIANS), Math.cos(lat * RADIANS)];
  const [sinLambda, cosLambda] = [Math.sin(lon * RADIANS), Math.cos(lon * RADIANS)];
  // prettier-ignore
  return target.set(
    -sinLambda, -sinPhi * cosLambda, cosPhi * cosLambda, 0,
    cosLambda, -sinPhi * sinLambda, cosPhi * sinLambda, 0,
    0, cosPhi, sinPhi, 0,
    0, 0, 0, 1,
  );
}

export function wrapDegrees(angle: number): number {
  return ((((angle + 180) % 360) + 360) % 360) - 180;
}
