// The sky: a small picture of all directions, drawn anew when the view or the sun moves, stretched over the screen; sun disc and stars.

import {
  BufferAttribute,
  BufferGeometry,
  Camera,
  ClampToEdgeWrapping,
  HalfFloatType,
  LinearFilter,
  Mesh,
  OrthographicCamera,
  PlaneGeometry,
  Points,
  Scene,
  ShaderMaterial,
  WebGLRenderTarget,
  type IUniform,
  type WebGLRenderer,
} from "three";
import { AIR_GLSL } from "./air";

/** Finds a direction in the picture: its azimuth from the sun's across, its angle from the horizon up, finest at the horizon. */
const PICTURE_GLSL = /* glsl */ `
  vec3 zenithOf() { return normalize(uCamera); }
  float horizonAngle() { return 3.14159265 - atan(GROUND, sqrt(max(uHeight, 0.0) * (2.0 * GROUND + uHeight))); }
  // From outside the air, only the rim of air round the planet has light.
  float topAngle() {
    float r = GROUND + uHeight;
    return r > TOP ? 3.14159265 - asin(TOP / r) : 0.0;
  }
  vec2 pictureOf(vec3 direction) {
    vec3 zenith = zenithOf();
    float cosine = clamp(dot(direction, zenith), -1.0, 1.0), angle = acos(cosine);
    vec3 level = direction - zenith * cosine, sunLevel = uSun - zenith * dot(uSun, zenith);
    float azimuth = dot(level, sunLevel) * inversesqrt(max(dot(level, level) * dot(sunLevel, sunLevel), 1e-12));
    float horizon = horizonAngle();
    float up = angle < horizon ? sqrt(min((horizon - angle) / (horizon - topAngle()), 1.0)) : -sqrt((angle - horizon) / (3.1415927 - horizon));
    return vec2(sqrt(clamp(0.5 - 0.5 * azimuth, 0.0, 1.0)), 0.5 + 0.5 * up);
  }
`;

export const SKY_GLSL = /* glsl */ `
  uniform sampler2D uSky;
  uniform vec2 uSkySize;
  ${PICTURE_GLSL}
  vec3 skyTowards(vec3 direction) {
    vec2 uv = pictureOf(direction);
    // Half a texel of margin on either side of the horizon: what is above and below it must not mix.
    float rows = uSkySize.y, edge = 0.5 / rows;
    uv.y = uv.y >= 0.5 ? clamp(uv.y, 0.5 + edge, 1.0 - edge) : clamp(uv.y, edge, 0.5 - edge);
    return texture2D(uSky, texel(vec2(uv.x, 0.0), uSkySize) * vec2(1.0, 0.0) + vec2(0.0, uv.y)).rgb;
  }
`;

const PICTURE_FRAGMENT = /* glsl */ `
  varying vec2 vUv;
  uniform vec2 uSkySize;
  ${AIR_GLSL}
  ${PICTURE_GLSL}
  void main() {
    vec2 uv = (vUv * uSkySize - 0.5) / (uSkySize - 1.0);
    float azimuth = 1.0 - 2.0 * uv.x * uv.x, horizon = horizonAngle();
    float up = clamp(2.0 * vUv.y - 1.0, -1.0, 1.0);
    float angle = up >= 0.0 ? horizon - up * up * (horizon - topAngle()) : horizon + up * up * (3.1415927 - horizon);
    vec3 zenith = zenithOf(), sunLevel = uSun - zenith * dot(uSun, zenith);
    vec3 forward = length(sunLevel) > 1e-4 ? normalize(sunLevel) : normalize(cross(zenith, vec3(0.3, 0.8, 0.5)));
    vec3 aside = cross(zenith, forward);
    vec3 direction = zenith * cos(angle) + sin(angle) * (forward * azimuth + aside * sqrt(max(0.0, 1.0 - azimuth * azimuth)));
    vec3 from = uCamera;
    vec2 air = crossing(from, direction, TOP);
    vec3 light = vec3(0.0), passing = vec3(1.0);
    if (air.y > 0.0 && air.x < air.y) {
      float enter = max(air.x, 0.0), leave = air.y;
      vec2 ground = crossing(from, direction, GROUND);
      bool meets = up < 0.0 && ground.x < ground.y && ground.x > 0.0;
      if (meets) leave = ground.x;
      from += direction * enter;
      float outside = uHeight > TOP - GROUND ? 0.0 : -1.0;
      light = airlight(from, direction, leave - enter, meets && uHeight > 20.0 ? 1.0 : outside, passing);
      if (meets) {
        vec3 place = normalize(uCamera + direction * ground.x);
        float sun = dot(place, uSun);
        vec3 falls = sunlightAt(0.0, sun) * max(sun, 0.0) + skylightAt(0.0, sun);
        light += passing * falls * vec3(0.012, 0.018, 0.03) / 3.14159;
      }
    }
    gl_FragColor = vec4(light, 1.0);
  }
`;

const SKY_FRAGMENT = /* glsl */ `
  varying vec3 vDirection;
  uniform vec3 uTrueSun;
  ${AIR_GLSL}
  ${SKY_GLSL}
  void main() {
    vec3 view = normalize(vDirection), direction = normalize(view * STRETCH);
    vec3 light = skyTowards(direction);
    float cosine = dot(view, uTrueSun);
    if (cosine > 0.99995 && dot(direction, zenithOf()) > cos(horizonAngle())) {
      float disc = smoothstep(0.99998, 0.999989, cosine);
      float height = min(uHeight, TOP - GROUND);
      vec3 passing = uHeight > TOP - GROUND ? vec3(uSunlight) : sunlightAt(height, dot(direction, zenithOf()));
      light += passing * 60.0 * disc;
    }
    gl_FragColor = developed(light);
  }
`;

const STARS = 1800;

export class Sky {
  readonly picture: WebGLRenderTarget;
  readonly stars: Points<BufferGeometry, ShaderMaterial>;
  private readonly scene = new Scene();
  private readonly eye = new OrthographicCamera(-1, 1, 1, -1, 0, 1);
  private readonly screen: Mesh<PlaneGeometry, ShaderMaterial>;
  private drawn = "";

  /** `shared` are the uniforms of the air; `steps` samples make a ray. */
  constructor(
    private readonly shared: Record<string, IUniform>,
    scene: Scene,
    steps: number,
    size: [number, number],
  ) {
    this.picture = new WebGLRenderTarget(...size, { type: HalfFloatType, depthBuffer: false, minFilter: LinearFilter, magFilter: LinearFilter });
    this.picture.texture.wrapS = this.picture.texture.wrapT = ClampToEdgeWrapping;
    shared.uSky.value = this.picture.texture;
    shared.uSkySize.value = size;
    const vertex = "varying vec2 vUv; void main() { vUv = uv; gl_Position = vec4(position.xy, 0.0, 1.0); }";
    const painter = new ShaderMaterial({
      uniforms: shared, vertexShader: vertex, fragmentShader: PICTURE_FRAGMENT, defines: { AIR_STEPS: steps }, depthTest: false, depthWrite: false,
    });
    this.scene.add(new Mesh(new PlaneGeometry(2, 2), painter));
    this.screen = new Mesh(new PlaneGeometry(2, 2), this.backdrop());
    this.screen.frustumCulled = false;
    this.screen.renderOrder = 1; // after the ground, where it costs nothing
    this.stars = starField(shared);
    scene.add(this.screen, this.stars);
  }

  /** Draws the picture of the sky again if what it depends on has changed. */
  update(renderer: WebGLRenderer): void {
    const { uCamera, uSun } = this.shared;
    const state = [uCamera.value, uSun.value].map((vector) => vector.toArray().map((value: number) => value.toFixed(4)).join()).join();
    if (state === this.drawn) return;
    this.drawn = state;
    renderer.setRenderTarget(this.picture);
    renderer.render(this.scene, this.eye as Camera);
    renderer.setRenderTarget(null);
  }

  private backdrop(): ShaderMaterial {
    return new ShaderMaterial({
      uniforms: this.shared,
      vertexShader: /* glsl */ `
        varying vec3 vDirection;
        uniform mat3 uEcefFromView;
        uniform vec2 uScreen; // tangents of half the field of view
        void main() {
          vDirection = uEcefFromView * vec3(position.xy * uScreen, -1.0);
          gl_Position = vec4(position.xy, 1.0, 1.0);
        }`,
      fragmentShader: SKY_FRAGMENT,
      defines: { AIR_STEPS: 1 },
      depthWrite: false,
    });
  }
}

/** Stars at random, more faint ones than bright ones; the same every time. */
function starField(shared: Record<string, IUniform>): Points<BufferGeometry, ShaderMaterial> {
  let state = 20231;
  const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
  const data = new Float32Array(STARS * 4);
  for (let star = 0; star < STARS; star++) {
    const z = 2 * random() - 1;
    const angle = 2 * Math.PI * random();
    const across = Math.sqrt(1 - z * z);
    data.set([across * Math.cos(angle), across * Math.sin(angle), z, 0.03 + random() ** 7], 4 * star);
  }
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(new Float32Array(STARS * 3), 3));
  geometry.setAttribute("star", new BufferAttribute(data, 4));
  const material = new ShaderMaterial({
    uniforms: shared,
    vertexShader: /* glsl */ `
      attribute vec4 star;
      varying float vBrightness;
      uniform mat3 uEcefFromView;
      uniform vec2 uScreen;
      void main() {
        vec3 view = star.xyz * uEcefFromView; // transposed: into the view
        gl_Position = vec4(view.xy / uScreen, -view.z * 0.9999999, -view.z);
        gl_PointSize = 1.0 + 1.2 * star.w;
        vBrightness = star.w;
      }`,
    fragmentShader: "varying float vBrightness; uniform float uStars; void main() { gl_FragColor = vec4(vec3(vBrightness * uStars), 1.0); }",
    transparent: true,
    depthWrite: false,
  });
  material.blending = 2; // additive
  const points = new Points(geometry, material);
  points.frustumCulled = false;
  points.renderOrder = 2;
  return points;
}
