/** HTTP requests with retries for unreliable networks. */

/** A bearer token, or a function that returns a valid one and is called for each attempt and each connection. */
export type Token = string | (() => string | Promise<string>);

/** An RFC 9457 problem, as the API returns it. Some codes have more members, such as `remaining` or `errors`. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  retryable: boolean;
  [member: string]: unknown;
}

/** The API rejected the request. Branch on `code`, which is stable; show `problem.title` to people. */
export class Rejected extends Error {
  override readonly name = "Rejected";
  readonly code: string;

  constructor(readonly problem: Problem) {
    super(`${problem.status} ${problem.code}: ${problem.detail || problem.title}`);
    this.code = problem.code;
  }

  get status(): number {
    return this.problem.status;
  }
}

/** There was no response within `retryFor`. A command may have arrived, so repeat it with the same `key`. */
export class Unreachable extends Error {
  override readonly name = "Unreachable";

  constructor(
    request: Request,
    override readonly cause: unknown,
    /** The Idempotency-Key, or null for a read. */
    readonly key: string | null = request.headers.get("Idempotency-Key"),
  ) {
    super(`${request.method} ${request.url}: ${String(cause)}`);
  }
}

/** The command is accepted, but was not executed within the wait. It will be executed. */
export class StillPending extends Error {
  override readonly name = "StillPending";

  constructor(readonly commandId: string) {
    super(`command ${commandId} is accepted and still under way`);
  }
}

export interface RetryOptions {
  token: Token;
  /** For how many seconds a command waits for its outcome. 0: not at all. */
  wait: number;
  /** For how many seconds a request is repeated if there is no response, or a response after which it may be repeated. */
  retryFor: number;
  fetch: (request: Request, init?: RequestInit) => Promise<Response>;
}

export const LONGEST_WAIT_SECONDS = 30; // the API's limit for `Prefer: wait`
const ANSWER_SECONDS = 10; // the time limit for a response, added to the wait in the request
const FIRST_PAUSE_SECONDS = 0.1;
const LONGEST_PAUSE_SECONDS = 2;

// A response with one of these codes, or without a code (from a proxy), means that nothing is stored under the key.
// Other responses with 429 or 503, such as ACCEPT_RETRY_EXHAUSTED, are stored outcomes: a retry with the same key would
// only return them again. The header Preference-Applied marks a stored outcome. It is needed for RATE_LIMITED, which
// may also be the stored outcome of a webhook's test.
const UNRECORDED = new Set(["SERVICE_UNAVAILABLE", "RATE_LIMITED", undefined]);

/** Return the address of an API, without a slash or `/api/v1` at its end. Throws a TypeError if it is no such address. */
export function checkedBaseUrl(baseUrl: string): string {
  // The class URL is not used, because React Native's is incomplete.
  const parts = /^(https?):(\/\/[^\s/?#]+(?:\/[^\s?#]*)?)$/i.exec(baseUrl.trim());
  if (parts === null) {
    throw new TypeError(
      `baseUrl is "${baseUrl}": write the API's address with http:// or https://, such as http://127.0.0.1:8000`,
    );
  }
  return `${parts[1]!.toLowerCase()}:${parts[2]}`.replace(/\/+$/, "").replace(/\/+api\/v1$/, "");
}

/** Return the seconds before the next attempt: doubling, capped, with jitter so that clients spread out. */
export function backOff(attempt: number, longest = LONGEST_PAUSE_SECONDS): number {
  return (0.5 + Math.random() / 2) * Math.min(longest, FIRST_PAUSE_SECONDS * 2 ** Math.min(attempt, 16));
}

export function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

export async function currentToken(token: Token): Promise<string> {
  return typeof token === "function" ? await token() : token;
}

/**
 * Return a `fetch` that adds the token and, for writes, an Idempotency-Key and `Prefer: wait`.
 *
 * It repeats a request whose response was lost, or that was answered 500 `INTERNAL_ERROR`, 503 `SERVICE_UNAVAILABLE` or 429
 * `RATE_LIMITED`, with the same key, so that a repetition has no second effect. Before each repetition it waits for
 * the back-off, or for `Retry-After` if that is longer. Throws Unreachable.
 */
export function retryingFetch(options: RetryOptions): (request: Request) => Promise<Response> {
  return async (original) => {
    const request = new Request(original);
    if (request.method !== "GET") {
      setDefault(request.headers, "Idempotency-Key", newKey);
      if (options.wait > 0) {
        setDefault(request.headers, "Prefer", () => `wait=${Math.min(LONGEST_WAIT_SECONDS, Math.ceil(options.wait))}`);
      }
    }
    const deadline = Date.now() + options.retryFor * 1000;
    for (let attempt = 0; ; attempt++) {
      let pause = backOff(attempt);
      request.headers.set("Authorization", `Bearer ${await currentToken(options.token)}`);
      try {
        const response = await fetchOnce(request, options);
        if (!(await mayBeRepeated(response))) return response;
        pause = Math.max(pause, retryAfter(response));
        if (Date.now() + pause * 1000 >= deadline) return response;
      } catch (lost) {
        if (original.signal?.aborted) throw lost;
        if (Date.now() + pause * 1000 >= deadline) throw new Unreachable(request, lost);
      }
      await sleep(pause);
    }
  };
}

/** Send one attempt. Throws if the headers of the response are not received in time. The body has no time limit. */
async function fetchOnce(request: Request, { fetch }: RetryOptions): Promise<Response> {
  const serverWaits = Number(/\bwait=(\d+)/.exec(request.headers.get("Prefer") ?? "")?.[1] ?? 0);
  const controller = new AbortController();
  const abort = (): void => controller.abort(request.signal?.reason);
  const timer = setTimeout(
    () => controller.abort(new Error("no response in time")),
    (serverWaits + ANSWER_SECONDS) * 1000,
  );
  request.signal?.addEventListener("abort", abort);
  if (request.signal?.aborted) abort();
  try {
    return await fetch(request.clone(), { signal: controller.signal });
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", abort);
  }
}

async function mayBeRepeated(response: Response): Promise<boolean> {
  if (![429, 500, 503].includes(response.status) || response.headers.has("Preference-Applied")) return false;
  const code = await codeOf(response.clone());
  return response.status === 500 ? code === "INTERNAL_ERROR" : UNRECORDED.has(code);
}

/** Return the code of the problem in a response; undefined if a proxy responded instead of the API. */
async function codeOf(response: Response): Promise<string | undefined> {
  try {
    const body: unknown = await response.json();
    return isProblem(body) ? body.code : undefined;
  } catch {
    return undefined;
  }
}

export function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && typeof body.code === "string";
}

function retryAfter(response: Response): number {
  const header = response.headers.get("Retry-After") ?? "";
  return /^\d+$/.test(header) ? Number(header) : 0;
}

function setDefault(headers: Headers, name: string, value: () => string): void {
  if (!headers.has(name)) headers.set(name, value());
}

/** Return a new Idempotency-Key. The key is no secret, so Math.random replaces `crypto`, which React Native lacks. */
export function newKey(): string {
  if (typeof globalThis.crypto?.randomUUID === "function") return globalThis.crypto.randomUUID();
  const digits = Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16));
  return digits.join("");
}
