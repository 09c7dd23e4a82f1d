// Air: molecules, haze and ozone over a sphere, in kilometres, and tables of what light passes and what it scatters more than once.
// After E. Bruneton and F. Neyret, "Precomputed Atmospheric Scattering" (2008), and S. Hillaire, "A Scalable and Production Ready Sky and
// Atmosphere Rendering Technique" (2020). The ellipsoid is a sphere here: axes are stretched along the poles (`STRETCH`) before use.

import { ClampToEdgeWrapping, DataTexture, DataUtils, HalfFloatType, LinearFilter, RGBAFormat } from "three";
import { SEMI_MAJOR, SEMI_MINOR } from "./geodesy";

export const GROUND = SEMI_MAJOR / 1000;
export const TOP = GROUND + 100;
export const STRETCH = SEMI_MAJOR / SEMI_MINOR;

/** Three quarters of what Earth's molecules scatter: a clearer day than the average one. */
const RAYLEIGH = [5.802e-3, 13.558e-3, 33.1e-3].map((beta) => 0.75 * beta);
const RAYLEIGH_HEIGHT = 8;
const HAZE = 5e-3;
const HAZE_ABSORPTION = 0.5e-3;
const HAZE_HEIGHT = 1.4;
const OZONE = [0.65e-3, 1.881e-3, 0.085e-3];
const GROUND_ALBEDO = 0.2;

const TRANSMITTANCE = { width: 128, height: 32 };
const MULTIPLE = { width: 24, height: 8 };

type Colour = [number, number, number];

/** Textures: `transmittance` to the sun, `multiple` scattered light and `irradiance` of the sky on level ground, per unit of sunlight. */
export interface AirTables {
  transmittance: DataTexture;
  multiple: DataTexture;
  irradiance: DataTexture;
  /** Sunlight that reaches a height (km) at a cosine of the angle to the zenith; none below the horizon. */
  sunlight(height: number, cosine: number): Colour;
}

export function airTables(): AirTables {
  const passes = table(TRANSMITTANCE.width, TRANSMITTANCE.height, (u, v) => transmittance(...fromTransmittance(u, v)));
  const sunlight = (height: number, cosine: number): Colour => {
    if (cosine < -Math.sqrt(height * (2 * GROUND + height)) / (GROUND + height)) return [0, 0, 0];
    return sample(passes, TRANSMITTANCE, ...toTransmittance(height, cosine));
  };
  const multiple = table(MULTIPLE.width, MULTIPLE.height, (u, v) => multiplyScattered(100 * v * v, 2 * u - 1, sunlight));
  const scattered = (height: number, cosine: number): Colour =>
    sample(multiple, MULTIPLE, cosine / 2 + 0.5, Math.sqrt(Math.min(height, 100) / 100));
  const irradiance = table(MULTIPLE.width, 1, (u) => skyIrradiance(2 * u - 1, sunlight, scattered));
  return {
    transmittance: texture(passes, TRANSMITTANCE.width, TRANSMITTANCE.height),
    multiple: texture(multiple, MULTIPLE.width, MULTIPLE.height),
    irradiance: texture(irradiance, MULTIPLE.width, 1),
    sunlight,
  };
}

function densities(height: number): [number, number, number] {
  return [Math.exp(-height / RAYLEIGH_HEIGHT), Math.exp(-height / HAZE_HEIGHT), Math.max(0, 1 - Math.abs(height - 25) / 15)];
}

function extinction(height: number): Colour {
  const [rayleigh, haze, ozone] = densities(height);
  return RAYLEIGH.map((beta, c) => beta * rayleigh + (HAZE + HAZE_ABSORPTION) * haze + OZONE[c] * ozone) as Colour;
}

/** Height and cosine at the middle of a texel; Bruneton's mapping by the distances to the ground's horizon and to the top. */
function fromTransmittance(u: number, v: number): [number, number] {
  const across = Math.sqrt(TOP * TOP - GROUND * GROUND);
  const rho = across * v;
  const r = Math.sqrt(rho * rho + GROUND * GROUND);
  const nearest = TOP - r;
  const distance = nearest + u * (rho + across - nearest);
  const cosine = distance ? (across * across - rho * rho - distance * distance) / (2 * r * distance) : 1;
  return [r - GROUND, Math.min(1, Math.max(-1, cosine))];
}

function toTransmittance(height: number, cosine: number): [number, number] {
  const r = GROUND + height;
  const across = Math.sqrt(TOP * TOP - GROUND * GROUND);
  const rho = Math.sqrt(Math.max(0, height * (2 * GROUND + height)));
  const nearest = TOP - r;
  const distance = Math.max(0, -r * cosine + Math.sqrt(Math.max(0, r * r * (cosine * cosine - 1) + TOP * TOP)));
  return [(distance - nearest) / (rho + across - nearest), rho / across];
}

function transmittance(height: number, cosine: number): Colour {
  const r = GROUND + height;
  const length = -r * cosine + Math.sqrt(Math.max(0, r * r * (cosine * cosine - 1) + TOP * TOP));
  const depth: Colour = [0, 0, 0];
  const steps = 40;
  for (let step = 0; step < steps; step++) {
    const t = (length * (step + 0.5)) / steps;
    const beta = extinction(Math.max(0, Math.sqrt(r * r + t * t + 2 * r * t * cosine) - GROUND));
    for (let c = 0; c < 3; c++) depth[c] += (beta[c] * length) / steps;
  }
  return depth.map((tau) => Math.exp(-tau)) as Colour;
}

interface March {
  /** Light scattered once towards the eye, per unit of isotropic phase, and what the ground at the end of the path reflects. */
  once: Colour;
  /** Share of light that any scattering along the path sends back, for the geometric series of all orders. */
  share: Colour;
}

/** Walks a path from `height` at `cosine` to the zenith; `azimuth` is the cosine between its level part and the sun's. */
function march(height: number, cosine: number, sun: number, azimuth: number, light: (h: number, c: number) => Colour): March {
  const r = GROUND + height;
  const blocked = r * r * (cosine * cosine - 1) + GROUND * GROUND;
  const hits = cosine < 0 && blocked > 0;
  const length = -r * cosine + (hits ? -Math.sqrt(blocked) : Math.sqrt(Math.max(0, r * r * (cosine * cosine - 1) + TOP * TOP)));
  const toSun = cosine * sun + Math.sqrt(Math.max(0, 1 - cosine * cosine)) * Math.sqrt(Math.max(0, 1 - sun * sun)) * azimuth;
  const passing: Colour = [1, 1, 1];
  const found: March = { once: [0, 0, 0], share: [0, 0, 0] };
  const steps = 12;
  for (let step = 0; step < steps; step++) {
    const [near, far] = [(step / steps) ** 2 * length, ((step + 1) / steps) ** 2 * length];
    const t = (near + far) / 2;
    const distance = Math.sqrt(r * r + t * t + 2 * r * t * cosine);
    const h = Math.max(0, distance - GROUND);
    const [rayleigh, haze] = densities(h);
    const beta = extinction(h);
    const sunlight = light(h, (r * sun + t * toSun) / distance);
    for (let c = 0; c < 3; c++) {
      const scatters = RAYLEIGH[c] * rayleigh + HAZE * haze;
      const through = Math.exp(-beta[c] * (far - near));
      const weight = (passing[c] * (1 - through) * scatters) / beta[c];
      found.once[c] += (weight * sunlight[c]) / (4 * Math.PI);
      found.share[c] += weight;
      passing[c] *= through;
    }
  }
  if (hits) {
    const sunAtGround = (r * sun + length * toSun) / GROUND;
    const sunlight = light(0, sunAtGround);
    for (let c = 0; c < 3; c++) found.once[c] += (passing[c] * sunlight[c] * Math.max(0, sunAtGround) * GROUND_ALBEDO) / Math.PI;
  }
  return found;
}

/** Directions over the sphere: cosines to the zenith and to the sun's azimuth, of equal weight. */
function directions(from: number): [number, number][] {
  const cosines = Array.from({ length: 8 }, (_, i) => from + ((1 - from) * (i + 0.5)) / 8);
  const azimuths = Array.from({ length: 4 }, (_, i) => Math.cos((Math.PI * (i + 0.5)) / 4));
  return cosines.flatMap((cosine) => azimuths.map((azimuth): [number, number] => [cosine, azimuth]));
}

function multiplyScattered(height: number, sun: number, light: (h: number, c: number) => Colour): Colour {
  const all = directions(-1).map(([cosine, azimuth]) => march(height, cosine, sun, azimuth, light));
  return [0, 1, 2].map((c) => {
    const mean = (key: keyof March): number => all.reduce((sum, one) => sum + one[key][c], 0) / all.length;
    return mean("once") / (1 - mean("share"));
  }) as Colour;
}

function skyIrradiance(sun: number, light: (h: number, c: number) => Colour, multiple: (h: number, c: number) => Colour): Colour {
  const total: Colour = [0, 0, 0];
  const all = directions(0);
  for (const [cosine, azimuth] of all) {
    const { once, share } = march(0.1, cosine, sun, azimuth, light);
    const higher = multiple(0.1, sun);
    for (let c = 0; c < 3; c++) total[c] += ((once[c] + share[c] * higher[c]) * cosine * 2 * Math.PI) / all.length;
  }
  return total;
}

function table(width: number, height: number, value: (u: number, v: number) => Colour): Float32Array {
  const data = new Float32Array(width * height * 4);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      data.set(value(column / (width - 1), height > 1 ? row / (height - 1) : 0), 4 * (row * width + column));
    }
  }
  return data;
}

function sample(data: Float32Array, { width, height }: { width: number; height: number }, u: number, v: number): Colour {
  const [x, y] = [Math.min(1, Math.max(0, u)) * (width - 1), Math.min(1, Math.max(0, v)) * (height - 1)];
  const [column, row] = [Math.min(width - 2, Math.floor(x)), Math.min(height - 2, Math.floor(y))];
  const [dx, dy] = [x - column, y - row];
  const at = 4 * (row * width + column);
  const below = at + 4 * width;
  return [0, 1, 2].map(
    (c) => (data[at + c] * (1 - dx) + data[at + 4 + c] * dx) * (1 - dy) + (data[below + c] * (1 - dx) + data[below + 4 + c] * dx) * dy,
  ) as Colour;
}

function texture(data: Float32Array, width: number, height: number): DataTexture {
  const made = new DataTexture(Uint16Array.from(data, DataUtils.toHalfFloat), width, height, RGBAFormat, HalfFloatType);
  made.minFilter = made.magFilter = LinearFilter;
  made.wrapS = made.wrapT = ClampToEdgeWrapping;
  made.needsUpdate = true;
  return made;
}

const vec3 = (values: number[]): string => `vec3(${values.map((value) => value.toExponential(4)).join(", ")})`;
const texels = ({ width, height }: { width: number; height: number }): string => `vec2(${width}.0, ${height}.0)`;

/** GLSL of the same air. Points are in stretched kilometres from Earth's centre; `uSunlight` is the sun's irradiance outside the air. */
export const AIR_GLSL = /* glsl */ `
  uniform sampler2D uTransmittance, uMultiple, uIrradiance;
  uniform vec3 uCamera;     // stretched kilometres
  uniform float uHeight;    // kilometres above the ellipsoid
  uniform vec3 uSun;        // towards the sun, stretched
  uniform float uSunlight;
  const float GROUND = ${GROUND.toFixed(4)}, TOP = ${TOP.toFixed(4)};
  const vec3 STRETCH = vec3(1.0, 1.0, ${STRETCH.toFixed(9)});

  vec2 texel(vec2 uv, vec2 size) { return (clamp(uv, 0.0, 1.0) * (size - 1.0) + 0.5) / size; }

  vec3 sunlightAt(float height, float cosine) {
    height = clamp(height, 0.0, TOP - GROUND);
    float r = GROUND + height, across = sqrt((TOP - GROUND) * (TOP + GROUND));
    float rho = sqrt(height * (2.0 * GROUND + height)), nearest = TOP - r;
    float reach = max(0.0, -r * cosine + sqrt(max(0.0, r * r * cosine * cosine + (TOP - r) * (TOP + r))));
    vec2 uv = vec2((reach - nearest) / (rho + across - nearest), rho / across);
    vec3 passing = texture2D(uTransmittance, texel(uv, ${texels(TRANSMITTANCE)})).rgb;
    float horizon = -rho / r;
    return passing * (uSunlight * smoothstep(-0.006, 0.006, cosine - horizon));
  }

  vec3 scatteredAt(float height, float cosine) {
    vec2 uv = vec2(cosine * 0.5 + 0.5, sqrt(clamp(height, 0.0, 100.0) / 100.0));
    return texture2D(uMultiple, texel(uv, ${texels(MULTIPLE)})).rgb * uSunlight;
  }

  vec3 skylightAt(float height, float cosine) {
    vec2 uv = vec2(cosine * 0.5 + 0.5, 0.5);
    return texture2D(uIrradiance, texel(uv, vec2(${MULTIPLE.width}.0, 1.0))).rgb * (uSunlight * exp(-max(height, 0.0) / 9.0));
  }

  float phaseRayleigh(float c) { return 0.0596831 * (1.0 + c * c); }

  float phaseHaze(float c) {
    const float g = 0.76;
    return 0.1193662 * (1.0 - g * g) * (1.0 + c * c) / ((2.0 + g * g) * pow(1.0 + g * g - 2.0 * g * c, 1.5));
  }

  // Light scattered towards \`from\` along the path of \`span\` km in \`direction\`; \`passing\` is what passes the whole path.
  // Samples lie densest at the end where \`bias\` < 0 (the start) or > 0 (the end).
  vec3 airlight(vec3 from, vec3 direction, float span, float bias, out vec3 passing) {
    vec3 light = vec3(0.0);
    passing = vec3(1.0);
    float c = dot(direction, uSun), rayleighPhase = phaseRayleigh(c), hazePhase = phaseHaze(c);
    float near = 0.0;
    for (int step = 0; step < AIR_STEPS; step++) {
      float share = float(step + 1) / float(AIR_STEPS), left = 1.0 - share;
      float far = span * (bias < 0.0 ? share * share : bias > 0.0 ? 1.0 - left * left : share);
      vec3 point = from + direction * (0.5 * (near + far));
      float r = length(point), height = max(r - GROUND, 0.0), sun = dot(point, uSun) / r, depth = far - near;
      float rayleigh = exp(-height / ${RAYLEIGH_HEIGHT.toFixed(2)}), haze = exp(-height / ${HAZE_HEIGHT.toFixed(2)});
      float ozone = max(0.0, 1.0 - abs(height - 25.0) / 15.0);
      vec3 rayleighBeta = ${vec3(RAYLEIGH)} * rayleigh;
      float hazeBeta = ${HAZE.toExponential(4)} * haze;
      vec3 beta = rayleighBeta + ${(1 + HAZE_ABSORPTION / HAZE).toFixed(4)} * hazeBeta + ${vec3(OZONE)} * ozone;
      vec3 through = exp(-beta * depth);
      vec3 source = sunlightAt(height, sun) * (rayleighBeta * rayleighPhase + hazeBeta * hazePhase);
      source += scatteredAt(height, sun) * (rayleighBeta + hazeBeta);
      light += passing * source * (1.0 - through) / max(beta, vec3(1e-9));
      passing *= through;
      near = far;
    }
    return light;
  }

  // Where a ray enters the sphere of radius \`radius\` (x) and leaves it (y); x > y when it misses.
  vec2 crossing(vec3 from, vec3 direction, float radius) {
    float along = dot(from, direction), r = length(from);
    vec3 nearest = from - direction * along;
    float inside = (radius - length(nearest)) * (radius + length(nearest));
    if (inside < 0.0) return vec2(1.0, -1.0);
    float half_ = sqrt(inside);
    return vec2(-along - half_, -along + half_);
  }

  uniform float uExposure;

  // Narkowicz's fit of the ACES film curve, then sRGB.
  vec4 developed(vec3 light) {
    vec3 x = light * uExposure;
    vec3 film = clamp(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0);
    return vec4(mix(film * 12.92, 1.055 * pow(film, vec3(1.0 / 2.4)) - 0.055, step(0.0031308, film)), 1.0);
  }
`;
