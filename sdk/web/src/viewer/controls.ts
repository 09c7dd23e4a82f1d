// Hands: keys, mouse and fingers become turns and wishes.

import type { Pilot, Wish } from "./pilot";

const KEYS: Record<string, [keyof Omit<Wish, "haste">, number]> = {
  KeyW: ["forward", 1], KeyS: ["forward", -1], KeyD: ["right", 1], KeyA: ["right", -1], KeyE: ["up", 1], KeyQ: ["up", -1],
};
const TURNS: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
/** Degrees a second by arrow keys. */
const TURN_PACE = 45;
/** Share of the clearance that one notch of the wheel flies. */
const NOTCH = 0.12;

export class Controls {
  private readonly held = new Set<string>();
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private stick: { right: number; forward: number; up: number } = { right: 0, forward: 0, up: 0 };
  /** Called when something was touched. */
  onInput: () => void = () => {};

  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly pilot: Pilot,
    private readonly fieldOfView: () => number,
  ) {
    window.addEventListener("keydown", (event) => this.press(event));
    window.addEventListener("keyup", (event) => this.held.delete(event.code));
    window.addEventListener("blur", () => this.held.clear());
    canvas.addEventListener("pointerdown", (event) => this.grip(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const end of ["pointerup", "pointercancel"] as const) canvas.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("wheel", (event) => this.roll(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Applies `seconds` of what is held down; says whether anything moved. */
  apply(seconds: number): boolean {
    let turned = false;
    for (const [key, [right, up]] of Object.entries(TURNS)) {
      if (!this.held.has(key)) continue;
      this.pilot.look(right * TURN_PACE * seconds, up * TURN_PACE * seconds);
      turned = true;
    }
    const wish: Wish = { ...this.stick, haste: this.held.has("ShiftLeft") || this.held.has("ShiftRight") };
    for (const [key, [axis, sign]] of Object.entries(KEYS)) if (this.held.has(key)) wish[axis] += sign;
    return this.pilot.advance(wish, seconds) || turned;
  }

  /** A stick and two buttons on the screen, for fingers. */
  attachPad(stick: HTMLElement, rise: HTMLElement, sink: HTMLElement): void {
    const knob = stick.firstElementChild as HTMLElement;
    const move = (event: PointerEvent): void => {
      const box = stick.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * 2 - 1;
      const y = ((event.clientY - box.top) / box.height) * 2 - 1;
      const length = Math.max(1, Math.hypot(x, y));
      this.stick = { ...this.stick, right: x / length, forward: -y / length };
      knob.style.transform = `translate(${(x / length) * 32}px, ${(y / length) * 32}px)`;
      this.onInput();
    };
    stick.addEventListener("pointerdown", (event) => {
      stick.setPointerCapture(event.pointerId);
      move(event);
    });
    stick.addEventListener("pointermove", (event) => stick.hasPointerCapture(event.pointerId) && move(event));
    stick.addEventListener("lostpointercapture", () => {
      this.stick = { ...this.stick, right: 0, forward: 0 };
      knob.style.transform = "";
    });
    for (const [button, up] of [[rise, 1], [sink, -1]] as const) {
      button.addEventListener("pointerdown", (event) => {
        button.setPointerCapture(event.pointerId);
        this.stick = { ...this.stick, up };
        this.onInput();
      });
      button.addEventListener("lostpointercapture", () => (this.stick = { ...this.stick, up: 0 }));
    }
  }

  private press(event: KeyboardEvent): void {
    const typing = event.target instanceof HTMLElement && event.target.closest("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.code in TURNS) event.preventDefault();
    this.held.add(event.code);
    this.onInput();
  }

  private grip(event: PointerEvent): void {
    this.canvas.focus();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  private drag(event: PointerEvent): void {
    const from = this.pointers.get(event.pointerId);
    if (!from) return;
    const spread = this.spread();
    const [dx, dy] = [event.clientX - from.x, event.clientY - from.y];
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.pointers.size === 1) {
      const degrees = this.fieldOfView() / this.canvas.clientHeight;
      this.pilot.look(-dx * degrees, dy * degrees);
    } else {
      const reach = this.pilot.clearance / this.canvas.clientHeight;
      this.pilot.step((-dx * reach) / 2, (this.spread() - spread) * 2 * reach, (dy * reach) / 2);
    }
    this.onInput();
  }

  /** Distance between the first two fingers in pixels. */
  private spread(): number {
    const [a, b] = [...this.pointers.values()];
    return b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
  }

  private roll(event: WheelEvent): void {
    event.preventDefault();
    const notches = Math.max(-3, Math.min(3, -event.deltaY / (event.deltaMode ? 3 : 100)));
    this.pilot.step(0, notches * NOTCH * Math.max(this.pilot.clearance, 10), 0);
    this.onInput();
  }
}
