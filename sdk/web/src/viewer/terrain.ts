// The ground of one world: 3D Tiles, asked for as the view needs them, parents first.

import { Matrix4, Mesh, MeshStandardMaterial, Raycaster, Vector2, Vector3, type Camera, type Group, type Object3D, type PerspectiveCamera, type Texture } from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { MeshoptDecoder } from "three/examples/jsm/libs/meshopt_decoder.module.js";
import { TilesRenderer } from "3d-tiles-renderer";
import { ImplicitTilingPlugin } from "3d-tiles-renderer/core/plugins";
import { SEMI_MINOR, placeFromEcef } from "./geodesy";
import type { Address, Ground } from "./ground";
import type { Server } from "./server";

/** What 3d-tiles-renderer keeps in a tile and its types do not tell. */
interface Tile {
  content?: { uri?: string };
  geometricError: number;
  boundingVolume: { region?: number[] };
  children: Tile[];
  internal: { hasRenderableContent: boolean };
  traversal: { used: boolean; error: number };
  engineData: { boundingVolume: { distanceToPoint(point: Vector3): number } };
}

/** What 3d-tiles-renderer offers and its types leave out. */
interface Offered {
  stats: Record<"queued" | "downloading" | "parsing" | "failed" | "inCache", number>;
  raycast(ray: Raycaster, hits: { point: Vector3 }[]): void;
  getResolution(camera: Camera, target: Vector2): Vector2 | null;
}

interface Shown {
  engineData: { scene: Object3D | null };
}

interface Selection {
  inView: boolean;
  error: number;
  distance: number;
}

const SUBTREE = /\.subtree(\?|$)/;
/** The level that bases end at. Nothing above it has to be generated, so it is refined at half the error: sharper from space, at no cost. */
const REAL_LEVEL = 4;
const CACHE_BYTES = 500e6;
/** As many as browsers open to a server: what waits, waits here, where the order may still change. */
const CONNECTIONS = 6;

export class Terrain {
  readonly tiles: TilesRenderer & Offered;
  /** Called when there is something new to draw. */
  onChange: () => void = () => {};
  private readonly ray = Object.assign(new Raycaster(), { firstHitOnly: true });

  constructor(
    url: string,
    private readonly camera: PerspectiveCamera,
    server: Server,
    ground: Ground,
    anisotropy: number,
  ) {
    this.tiles = new TilesRenderer(url) as TilesRenderer & Offered;
    const loader = new GLTFLoader(this.tiles.manager);
    loader.setMeshoptDecoder(MeshoptDecoder);
    this.tiles.manager.addHandler(/\.(gltf|glb)(\?|$)/, loader);
    this.tiles.manager.addHandler(/^path\.glb$/, loader);
    this.tiles.registerPlugin(new ImplicitTilingPlugin() as never); // of planes
    this.tiles.registerPlugin({
      name: "TERRALOOM",
      preprocessNode: (tile: Tile) => {
        if (levelOf(tile) < REAL_LEVEL) tile.geometricError *= 2;
        // The plugin above knows subtrees only by URLs without a query.
        if (SUBTREE.test(tile.content?.uri ?? "")) Object.assign(tile.internal, { hasUnrenderableContent: true, hasRenderableContent: false });
      },
      disposeTile: (tile: Tile) => {
        if (SUBTREE.test(tile.content?.uri ?? "")) tile.children.length = 0;
      },
      fetchData: (uri: string, options: RequestInit) => fetchTiles(server, uri, options),
      processTileModel: (scene: Object3D, tile: Tile) => dress(scene, tile, ground, anisotropy),
      calculateTileViewError: (tile: Tile, target: Selection) => this.select(tile, target),
    } as never);
    this.tiles.setCamera(camera);
    this.tiles.errorTarget = 16;
    this.tiles.lruCache.maxBytesSize = CACHE_BYTES;
    this.tiles.lruCache.minBytesSize = CACHE_BYTES * 0.7;
    this.tiles.downloadQueue.maxJobsPerOrigin = CONNECTIONS;
    this.tiles.downloadQueue.priorityCallback = coarseFirst as never;
    this.tiles.parseQueue.priorityCallback = coarseFirst as never;
    this.tiles.parseQueue.maxJobs = 3;
    for (const event of ["load-model", "load-tileset", "tile-visibility-change", "needs-update", "needs-render"]) {
      this.tiles.addEventListener(event as "load-model", () => this.onChange());
    }
  }

  get group(): Group {
    return this.tiles.group;
  }

  get loading(): boolean {
    const { queued, downloading, parsing } = this.tiles.stats;
    return this.tiles.root === null || queued + downloading + parsing > 0;
  }

  /** Tiles that are on the screen, those that only lead to others left out. */
  get drawn(): number {
    return this.shown.filter((tile) => tile.engineData.scene).length;
  }

  private get shown(): Shown[] {
    return [...(this.tiles.visibleTiles as unknown as Set<Shown>)];
  }

  update(width: number, height: number): void {
    this.tiles.setResolution(this.camera, width, height);
    this.tiles.update();
  }

  /** Height of the loaded ground at a point's place in metres above the ellipsoid, or null where none is loaded. */
  heightBelow(point: Vector3, up: Vector3): number | null {
    this.ray.ray.origin.copy(point).addScaledVector(up, 20000);
    this.ray.ray.direction.copy(up).negate();
    const hits = this.hits();
    return hits.length ? placeFromEcef(hits[0].point).height : null;
  }

  /** Whether a ray from the camera through a point of the screen (-1..1) meets loaded ground. */
  meets(x: number, y: number): boolean {
    this.ray.setFromCamera(new Vector2(x, y), this.camera);
    return this.hits().length > 0;
  }

  setWireframe(on: boolean): void {
    for (const tile of this.shown) {
      tile.engineData.scene?.traverse((object) => {
        if (object instanceof Mesh) object.material.wireframe = on;
      });
    }
  }

  dispose(): void {
    this.tiles.group.removeFromParent();
    this.tiles.dispose();
  }

  /** Tiles below the horizon are not asked for; the one under the camera is, whichever way it looks. */
  private select(tile: Tile, target: Selection): boolean {
    const region = tile.boundingVolume.region;
    if (!region) return false;
    const eye = this.camera.position;
    const place = placeFromEcef(eye);
    const [west, south, east, north, , highest] = region;
    const [lon, lat] = [(place.lon * Math.PI) / 180, (place.lat * Math.PI) / 180];
    if (lon >= west && lon <= east && lat >= south && lat <= north) {
      const distance = tile.engineData.boundingVolume.distanceToPoint(eye);
      target.inView = true;
      target.distance = distance;
      target.error = tile.geometricError / (distance * this.pixel());
      return true;
    }
    target.inView = angleTo(lon, lat, west, south, east, north) <= horizonAngle(place.height) + horizonAngle(highest);
    return !target.inView;
  }

  private hits(): { point: Vector3 }[] {
    const found: { point: Vector3 }[] = [];
    this.tiles.raycast(this.ray, found);
    return found;
  }

  /** Tangent of the angle that a pixel takes. */
  private pixel(): number {
    const size = this.tiles.getResolution(this.camera, new Vector2());
    return 2 / this.camera.projectionMatrix.elements[5] / (size?.y || 1);
  }
}

/**
 * Order of loading, 1 when `a` comes before `b`: what is wanted still, the coarser, then what looks worse. A tile shows once its siblings
 * and its parent's siblings are there, so whole levels make ground sooner than a deep column under the camera.
 */
function coarseFirst(a: Tile, b: Tile): number {
  if (!a.traversal || !b.traversal) return 0;
  if (a.traversal.used !== b.traversal.used) return a.traversal.used ? 1 : -1;
  const [levelA, levelB] = [a, b].map((tile) => Math.round(Math.log2(tile.geometricError)));
  if (levelA !== levelB) return levelA > levelB ? 1 : -1;
  return Math.sign(a.traversal.error - b.traversal.error) || 0;
}

/** The level of a planet's tile; NaN for what is none. */
function levelOf(tile: Tile): number {
  const uri = tile.content?.uri ?? "";
  return /\blocal\//.test(uri) ? NaN : Number(/(\d+)\/\d+\/\d+\.glb/.exec(uri)?.[1]);
}

/** Angle at Earth's centre from a height to its horizon, with some margin for the ellipsoid. */
function horizonAngle(height: number): number {
  return height > 0 ? 1.02 * Math.acos(SEMI_MINOR / (SEMI_MINOR + height)) : 0;
}

/** Least angle at Earth's centre, or less, from a place to a rectangle of longitudes and latitudes, all in radians. */
function angleTo(lon: number, lat: number, west: number, south: number, east: number, north: number): number {
  const [middleLon, middleLat] = [(west + east) / 2, (south + north) / 2];
  const widest = south <= 0 && north >= 0 ? 1 : Math.max(Math.cos(south), Math.cos(north));
  const reach = Math.hypot(((east - west) / 2) * widest, (north - south) / 2);
  const cosine = Math.sin(lat) * Math.sin(middleLat) + Math.cos(lat) * Math.cos(middleLat) * Math.cos(lon - middleLon);
  return Math.acos(Math.min(1, Math.max(-1, cosine))) - reach;
}

/** Tilesets come parsed; 3d-tiles-renderer warns of every one of version 1.1, of which it reads all that these hold. */
async function fetchTiles(server: Server, uri: string, options: RequestInit): Promise<unknown> {
  const response = await server.fetch(uri, options);
  if (!response.ok || !new URL(uri, location.href).pathname.endsWith(".json")) return response;
  const tileset = await response.json();
  tileset.asset.version = "1.0";
  return tileset;
}

/** Gives a tile's mesh the material of the ground. */
async function dress(scene: Object3D, tile: Tile, ground: Ground, anisotropy: number): Promise<void> {
  const [level, x, y] = (/(\d+)\/(\d+)\/(\d+)\.glb/.exec(tile.content?.uri ?? "") ?? []).slice(1).map(Number);
  // Planes count levels from the roots of their tilesets; their pixels are 2^(17 - z) metres wide, and errors 4 pixels.
  const z = /\blocal\//.test(tile.content?.uri ?? "") ? Math.round(19 - Math.log2(tile.geometricError)) : level;
  scene.updateMatrixWorld(true);
  scene.traverse((object) => {
    if (!(object instanceof Mesh)) return;
    const plain = object.material as MeshStandardMaterial;
    const picture = plain.map as Texture;
    picture.anisotropy = anisotropy;
    picture.updateMatrix();
    const axes = new Matrix4().copy(object.matrixWorld);
    const [east, south] = [0, 2].map((column) => new Vector3().setFromMatrixColumn(axes, column).normalize());
    const made = ground.material(picture, { z, x, y } as Address, east, south);
    (made as unknown as { picture: Texture }).picture = picture; // where 3d-tiles-renderer finds what to dispose of
    object.material = made;
    plain.dispose();
  });
}
