// The server as the viewer sees it: fetches that outlast its absence, and word of its going and coming.

const RETRY_SECONDS = 1.5;
const MOST_DEFECTS = 3;

export class Server {
  /** Called when the server stops or starts to answer. */
  onChange: (present: boolean) => void = () => {};
  /** Milliseconds from request to reply of the tiles that came last. */
  readonly latencies: number[] = [];
  private back: Promise<void> | null = null;

  get present(): boolean {
    return this.back === null;
  }

  /** As `fetch`, but waits for a server that is away or asks for patience (429, 503); other failures of a server (5xx) are tried 3 times. */
  readonly fetch = async (url: string | URL | Request, options: RequestInit = {}): Promise<Response> => {
    for (let defects = 0; ; ) {
      const started = performance.now();
      let response: Response;
      try {
        response = await fetch(url, options);
      } catch (error) {
        if (options.signal?.aborted) throw error;
        await this.returned();
        options.signal?.throwIfAborted();
        continue;
      }
      if (response.status === 429 || response.status === 503) {
        await pause(Number(response.headers.get("Retry-After")) || RETRY_SECONDS);
      } else if (response.status < 500 || ++defects >= MOST_DEFECTS) {
        if (response.ok) this.record(performance.now() - started);
        return response;
      } else {
        await pause(RETRY_SECONDS);
      }
      options.signal?.throwIfAborted();
    }
  };

  /** Resolves when the server answers; asks until it does. */
  returned(): Promise<void> {
    if (!this.back) {
      this.onChange(false);
      this.back = this.ask().then(() => {
        this.back = null;
        this.onChange(true);
      });
    }
    return this.back;
  }

  /** Asks now and then whether the server lives, so that its absence shows without a request. */
  async watch(seconds = 5): Promise<never> {
    for (;;) {
      await pause(seconds);
      if (this.present && !document.hidden && !(await alive())) await this.returned();
    }
  }

  private async ask(): Promise<void> {
    while (!(await alive())) await pause(RETRY_SECONDS);
  }

  private record(milliseconds: number): void {
    this.latencies.push(milliseconds);
    if (this.latencies.length > 500) this.latencies.shift();
  }
}

async function alive(): Promise<boolean> {
  try {
    return (await fetch("./healthz", { cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

export function quantile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : NaN;
}
