// How the ground looks: sun and sky light, the air before it, sea, and detail finer than its textures, fixed to the ground.

import { DataTexture, LinearMipmapLinearFilter, LinearFilter, RepeatWrapping, RGBAFormat, ShaderMaterial, UnsignedByteType, Vector3, Vector4, type IUniform, type Texture } from "three";
import { AIR_GLSL } from "./air";
import { SKY_GLSL } from "./sky";

export interface Address {
  z: number;
  x: number;
  y: number;
}

/** Levels whose tiles are as wide as one period of the detail: 9.5 m, 153 m and 2.4 km at the equator. */
const DETAIL_LEVELS = [22, 18, 14];
const TEXTURE_SIDE = 256;
const GUTTER = 2;

const VERTEX = /* glsl */ `
  uniform mat3 uEcefFromView, uMap;
  varying vec2 vUv;
  varying vec3 vNormal, vSunlight, vSkylight, vAirlight, vPassing, vToPoint;
  varying float vDepth;
  ${AIR_GLSL}
  void main() {
    vec4 view = modelViewMatrix * vec4(position, 1.0);
    gl_Position = projectionMatrix * view;
    vDepth = 1.0 + gl_Position.w;
    vUv = (uMap * vec3(uv, 1.0)).xy;
    vNormal = uEcefFromView * (normalMatrix * normal);
    vToPoint = uEcefFromView * view.xyz;
    vec3 path = vToPoint * 1e-3 * STRETCH, point = uCamera + path;
    float r = length(point), height = max(r - GROUND, 0.0), sun = dot(point, uSun) / r;
    vSunlight = sunlightAt(height, sun);
    vSkylight = skylightAt(height, sun);
    float span = length(path);
    vec3 direction = path / max(span, 1e-6), from = uCamera;
    if (uHeight > TOP - GROUND) {
      float enter = clamp(crossing(uCamera, direction, TOP).x, 0.0, span);
      from += direction * enter;
      span -= enter;
    }
    vAirlight = airlight(from, direction, span, height > uHeight ? -1.0 : uHeight - height > 3.0 ? 1.0 : 0.0, vPassing);
  }
`;

const FRAGMENT = /* glsl */ `
  uniform sampler2D uPicture, uDetail;
  uniform vec4 uDetailFrames[3]; // offset and scale of a level's detail; strength
  uniform vec3 uEast, uSouth, uPaint;
  uniform float uLogDepth, uPainted, uTime;
  varying vec2 vUv;
  varying vec3 vNormal, vSunlight, vSkylight, vAirlight, vPassing, vToPoint;
  varying float vDepth;
  ${AIR_GLSL}
  ${SKY_GLSL}
  const float LAND_GAIN = 1.3; // Blue Marble is darker than land under a sun like this one
  const vec3 SEA = vec3(0.00335, 0.01681, 0.04817); // linear, as the server paints it

  void main() {
    gl_FragDepth = log2(vDepth) * uLogDepth;
    vec3 colour = texture2D(uPicture, vUv).rgb;
    vec3 normal = normalize(vNormal), up = normalize((uCamera + vToPoint * 1e-3 * STRETCH) * STRETCH);
    float water = 1.0 - smoothstep(0.006, 0.018, length(colour - SEA));
    water *= smoothstep(0.90, 0.97, dot(normal, up));
    colour *= mix(LAND_GAIN, 1.0, water);

    #ifdef DETAIL
      vec2 within = (vUv * ${(TEXTURE_SIDE + 2 * GUTTER).toFixed(1)} - ${GUTTER.toFixed(1)}) / ${TEXTURE_SIDE.toFixed(1)};
      vec3 grain = vec3(0.0);
      for (int layer = 0; layer < 3; layer++) {
        vec4 frame = uDetailFrames[layer];
        vec4 found = texture2D(uDetail, (frame.xy + within) * frame.z);
        grain += (found.xyz - 0.5) * frame.w;
      }
      float land = 1.0 - water;
      float snow = smoothstep(0.35, 0.7, min(colour.r, min(colour.g, colour.b)));
      colour *= 1.0 + land * (1.0 - 0.8 * snow) * clamp(1.1 * grain.x, -0.6, 0.8);
      normal = normalize(normal - land * (1.0 - 0.5 * snow) * 1.3 * (grain.y * uEast + grain.z * uSouth));
    #endif

    float lit = max(dot(normal, uTrueSun), 0.0), open = 0.6 + 0.4 * dot(normal, up);
    float bounced = 0.13 * max(dot(up, uTrueSun), 0.0) * (1.3 - open);
    vec3 light = colour * (vSunlight * (lit + bounced) + vSkylight * open + uNight) / 3.14159;

    #ifdef SEA_SHINE
      if (water > 0.001) {
        vec3 view = normalize(vToPoint), wave = up;
        float far = length(vToPoint);
        #ifdef DETAIL
          vec2 ripple = vec2(0.0);
          vec2 drift = vec2(uTime * 0.011, uTime * 0.007);
          ripple += texture2D(uDetail, (uDetailFrames[0].xy + within) * uDetailFrames[0].z * 0.5 + drift).yz - 0.5;
          ripple += texture2D(uDetail, (uDetailFrames[1].xy + within) * uDetailFrames[1].z * 2.0 - drift.yx).yz - 0.5;
          wave = normalize(up - 0.22 * (ripple.x * uEast + ripple.y * uSouth));
        #endif
        vec3 mirrored = reflect(view, wave);
        float rise = dot(mirrored, up);
        mirrored = normalize(mirrored + up * max(0.0, 0.02 - rise));
        float facing = clamp(-dot(view, wave), 0.0, 1.0), bent = pow(1.0 - facing, 5.0);
        float shine = 0.02 + 0.98 * bent * mix(1.0, 0.55, smoothstep(200.0, 20000.0, far));
        vec3 halfway = normalize(uTrueSun - view);
        float width = mix(0.010, 0.035, smoothstep(200.0, 50000.0, far));
        float cosine = max(dot(halfway, up), 1e-3), tangent2 = (1.0 - cosine * cosine) / (cosine * cosine);
        float glint = exp(-tangent2 / width) / (3.14159 * width * pow(cosine, 4.0));
        float sunFacing = max(dot(uTrueSun, up), 0.0);
        vec3 sea = light * 1.15 + skyTowards(normalize(mirrored * STRETCH)) * shine;
        sea += vSunlight * (0.02 + 0.98 * pow(1.0 - max(dot(halfway, -view), 0.0), 5.0)) * glint * 0.25 * step(0.001, sunFacing);
        light = mix(light, sea, water);
      }
    #endif

    light = mix(light, uPaint * (0.1 + lit) * vSunlight / 3.14159, uPainted);
    gl_FragColor = developed(light * vPassing + vAirlight);
  }
`;

export interface GroundQuality {
  steps: number;
  detail: boolean;
  shine: boolean;
  anisotropy: number;
}

/** Makes materials of tiles; uniforms in `shared` are one for all of them. */
export class Ground {
  constructor(
    private readonly shared: Record<string, IUniform>,
    private readonly quality: GroundQuality,
  ) {
    const detail = detailTexture();
    detail.anisotropy = quality.anisotropy;
    shared.uDetail = { value: detail };
  }

  /** `east` and `south` are the axes of the tile's frame, earth-centred. */
  material(picture: Texture, address: Address, east: Vector3, south: Vector3): ShaderMaterial {
    const defines: Record<string, number> = { AIR_STEPS: this.quality.steps };
    if (this.quality.detail) defines.DETAIL = 1;
    if (this.quality.shine) defines.SEA_SHINE = 1;
    return new ShaderMaterial({
      vertexShader: VERTEX,
      fragmentShader: "uniform vec3 uTrueSun, uNight;\n" + FRAGMENT,
      defines,
      uniforms: {
        ...this.shared,
        uPicture: { value: picture },
        uMap: { value: picture.matrix },
        uDetailFrames: { value: DETAIL_LEVELS.map((level) => detailFrame(level, address)) },
        uEast: { value: east },
        uSouth: { value: south },
        uPaint: { value: levelColour(address.z) },
      },
    });
  }
}

/** Places a tile in the detail that repeats with every tile of `level`; it fades out where so many repetitions would show as a pattern. */
function detailFrame(level: number, { z, x, y }: Address): Vector4 {
  const tiles = 2 ** Math.max(0, z - level);
  const strength = Math.min(1, Math.max(0, (6 - (level - z)) / 3));
  return new Vector4(x % tiles, y % tiles, 2 ** (level - z), strength);
}

export function levelColour(level: number): Vector3 {
  const turn = (level * 0.381966) % 1;
  return new Vector3(...[0, 1 / 3, 2 / 3].map((shift) => 0.25 + 0.5 * Math.cos(2 * Math.PI * (turn + shift)) ** 2)) as Vector3;
}

/** Noise that repeats after 256 pixels: height in red, its slopes eastward and southward in green and blue. */
function detailTexture(side = 256): DataTexture {
  const heights = new Float32Array(side * side);
  let state = 7;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  for (let cells = 4; cells <= side / 2; cells *= 2) {
    const lattice = Float32Array.from({ length: cells * cells }, () => random() - 0.5);
    const at = (column: number, row: number): number => lattice[(row % cells) * cells + (column % cells)];
    const weight = (4 / cells) ** 0.75;
    for (let row = 0; row < side; row++) {
      for (let column = 0; column < side; column++) {
        const [x, y] = [(column * cells) / side, (row * cells) / side];
        const [left, top] = [Math.floor(x), Math.floor(y)];
        const [u, v] = [x - left, y - top].map((t) => t * t * (3 - 2 * t));
        const upper = at(left, top) * (1 - u) + at(left + 1, top) * u;
        const lower = at(left, top + 1) * (1 - u) + at(left + 1, top + 1) * u;
        heights[row * side + column] += weight * (upper * (1 - v) + lower * v);
      }
    }
  }
  const pixels = new Uint8Array(side * side * 4);
  const at = (column: number, row: number): number => heights[((row + side) % side) * side + ((column + side) % side)];
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const slopes = [at(column + 1, row) - at(column - 1, row), at(column, row + 1) - at(column, row - 1)];
      pixels.set([at(column, row) * 0.5, ...slopes.map((slope) => slope * 2)].map(quantised), 4 * (row * side + column));
    }
  }
  const texture = new DataTexture(pixels, side, side, RGBAFormat, UnsignedByteType);
  texture.wrapS = texture.wrapT = RepeatWrapping;
  texture.magFilter = LinearFilter;
  texture.minFilter = LinearMipmapLinearFilter;
  texture.generateMipmaps = true;
  texture.needsUpdate = true;
  return texture;
}

function quantised(value: number): number {
  return Math.min(255, Math.max(0, Math.round(127.5 + 127.5 * value)));
}

