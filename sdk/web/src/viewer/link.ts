// Deep links: `#lat,lon,height,heading,pitch,world` in degrees and metres, then, where they are not the usual ones, `,seed` and `,hour`.

export interface View {
  lat: number;
  lon: number;
  height: number;
  /** Degrees clockwise from north. */
  heading: number;
  /** Degrees above the horizon. */
  pitch: number;
}

export interface Link {
  view: View;
  world: string;
  seed: number;
  /** Local solar time in hours, or null for the default. */
  hour: number | null;
}

export const HIGHEST = 6e7;

export function formatLink({ view, world, seed, hour }: Link): string {
  const metres = view.height < 1000 ? 1 : 0;
  const parts = [view.lat.toFixed(6), view.lon.toFixed(6), view.height.toFixed(metres), view.heading.toFixed(1), view.pitch.toFixed(1), world];
  if (seed || hour !== null) parts.push(String(seed));
  if (hour !== null) parts.push(hour.toFixed(2));
  return "#" + parts.join(",");
}

/** What a hash says, or null when it is not a link. What is left out or out of range takes the value of `usual`. */
export function parseLink(hash: string, usual: Link): Link | null {
  const parts = decodeURIComponent(hash.replace(/^#/, "")).split(",");
  if (parts.length < 2) return null;
  const number = (index: number, low: number, high: number, otherwise: number): number => {
    const value = parts[index] ? Number(parts[index]) : NaN;
    return value >= low && value <= high ? value : otherwise;
  };
  const lat = number(0, -90, 90, NaN);
  const lon = number(1, -180, 360, NaN);
  if (Number.isNaN(lat) || Number.isNaN(lon)) return null;
  return {
    view: {
      lat,
      lon,
      height: number(2, -500, HIGHEST, usual.view.height),
      heading: number(3, -360, 360, usual.view.heading),
      pitch: number(4, -90, 90, usual.view.pitch),
    },
    world: parts[5] || usual.world,
    seed: Math.trunc(number(6, 0, 2 ** 32 - 1, 0)),
    hour: parts[7] ? number(7, 0, 24, usual.hour ?? 12) : null,
  };
}

/** A place in words that people write: "45.98, 7.66", "45.98 N 7.66 E", "7.66E 45.98N". Null when it is none. */
export function parseCoordinates(text: string): { lat: number; lon: number } | null {
  const found = [...text.toUpperCase().matchAll(/(-?\d+(?:\.\d+)?)\s*°?\s*([NSEW])?/g)];
  if (found.length !== 2) return null;
  let [lat, lon] = found;
  if (/[EW]/.test(lat[2] ?? "") || /[NS]/.test(lon[2] ?? "")) [lat, lon] = [lon, lat];
  const degrees = (match: RegExpMatchArray): number => Number(match[1]) * (/[SW]/.test(match[2] ?? "") ? -1 : 1);
  const place = { lat: degrees(lat), lon: degrees(lon) };
  return Math.abs(place.lat) <= 90 && Math.abs(place.lon) <= 180 ? place : null;
}
