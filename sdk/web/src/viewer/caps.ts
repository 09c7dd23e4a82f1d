// The poles beyond 85.05 degrees, where the world's tiles end: a plain sea of the north, plain ice of the south.

import { BufferAttribute, BufferGeometry, DataTexture, Matrix4, Mesh, SRGBColorSpace, Vector3 } from "three";
import { ecefFromPlace } from "./geodesy";
import type { Ground } from "./ground";

const EDGE = 85.04;
const RINGS = 8;
const SPOKES = 96;
const SEA = [11, 35, 62, 255];
const ICE = [236, 240, 246, 255];

export function polarCaps(ground: Ground): Mesh[] {
  return [cap(ground, 1, 0, SEA), cap(ground, -1, 2000, ICE)];
}

/** A round sheet about one pole; `sign` is 1 in the north, `height` metres above the sea at the pole. */
function cap(ground: Ground, sign: number, height: number, colour: number[]): Mesh {
  const pole = ecefFromPlace({ lat: 90 * sign, lon: 0, height: 0 });
  const positions: number[] = [];
  const normals: number[] = [];
  for (let ring = 0; ring <= RINGS; ring++) {
    const lat = sign * (90 - ((90 - EDGE) * ring) / RINGS);
    for (let spoke = 0; spoke < SPOKES; spoke++) {
      const place = { lat, lon: (360 * spoke) / SPOKES, height: height * (1 - ring / RINGS) };
      const point = ecefFromPlace(place);
      normals.push(...ecefFromPlace({ ...place, height: place.height + 1 }).sub(point).toArray());
      positions.push(...point.sub(pole).toArray());
    }
  }
  const indices: number[] = [];
  for (let ring = 0; ring < RINGS; ring++) {
    for (let spoke = 0; spoke < SPOKES; spoke++) {
      const [a, b] = [ring * SPOKES + spoke, ring * SPOKES + ((spoke + 1) % SPOKES)];
      const quad = [a, a + SPOKES, b, b, a + SPOKES, b + SPOKES];
      indices.push(...(sign > 0 ? quad : quad.reverse()));
    }
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(Float32Array.from(positions), 3));
  geometry.setAttribute("normal", new BufferAttribute(Float32Array.from(normals), 3));
  geometry.setAttribute("uv", new BufferAttribute(new Float32Array((positions.length / 3) * 2), 2));
  geometry.setIndex(indices);
  const picture = new DataTexture(Uint8Array.from(colour), 1, 1);
  picture.colorSpace = SRGBColorSpace;
  picture.needsUpdate = true;
  const mesh = new Mesh(geometry, ground.material(picture, { z: 0, x: 0, y: 0 }, new Vector3(1, 0, 0), new Vector3(0, 1, 0)));
  mesh.applyMatrix4(new Matrix4().makeTranslation(pole));
  return mesh;
}
