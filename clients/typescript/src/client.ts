/** The client of one user: typed requests, and the outcome of commands. */
import createClient, { type Client } from "openapi-fetch";
import {
  checkedBaseUrl,
  isProblem,
  Rejected,
  retryingFetch,
  sleep,
  StillPending,
  type RetryOptions,
  type Token,
} from "./http.js";
import type { paths } from "./openapi.js";

export interface ClientOptions {
  /** The address of the API, such as `https://api.example.com`. Another text throws a TypeError. */
  baseUrl: string;
  token: Token;
  /** For how many seconds a command waits for its outcome (default 10). 0: not at all. */
  wait?: number;
  /** For how many seconds a request is repeated if there is no response, or a response after which it may be repeated (default 15). */
  retryFor?: number;
  /** The function that sends requests, by default the global `fetch`. */
  fetch?: RetryOptions["fetch"];
}

/** The response to a command that is accepted but not executed yet. */
export interface Receipt {
  commandId: string;
  command: string;
  acceptedAt: string;
}

/** What `client.api.GET`, `POST`, … return. */
interface ApiAnswer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

const FIRST_POLL_SECONDS = 0.05;
const LONGEST_POLL_SECONDS = 1;

export class WeeloClient {
  /**
   * Every route of the API, with the types of its parameters, body and answers:
   * `client.api.GET("/api/v1/broadcasts/{id}", { params: { path: { id } } })`.
   */
  readonly api: Client<paths>;
  private readonly wait: number;

  constructor(options: ClientOptions) {
    this.wait = options.wait ?? 10;
    this.api = createClient<paths>({
      baseUrl: checkedBaseUrl(options.baseUrl),
      fetch: retryingFetch({
        token: options.token,
        wait: this.wait,
        retryFor: options.retryFor ?? 15,
        fetch: options.fetch ?? ((request, init) => globalThis.fetch(request, init)),
      }),
    });
  }

  /**
   * Return the result of a command, or the data of a read.
   *
   *     const booking = await client.result(client.api.POST("/api/v1/bookings", { body }));
   *
   * If the command is accepted but not executed yet, this polls its outcome for `wait` seconds. Throws Rejected,
   * StillPending, Unreachable.
   */
  async result<Data>(answer: Promise<ApiAnswer<Data>>): Promise<Exclude<Data, Receipt>> {
    const { data, error, response } = await answer;
    if (!response.ok) throw rejection(response, error);
    if (response.status !== 202) return data as Exclude<Data, Receipt>;
    return (await this.outcome((data as Receipt).commandId, this.wait)) as Exclude<Data, Receipt>;
  }

  /** Return the result of a command that was accepted. Throws Rejected, StillPending after `within` seconds, Unreachable. */
  async outcome(commandId: string, within = 0): Promise<unknown> {
    const deadline = Date.now() + within * 1000;
    for (let pause = FIRST_POLL_SECONDS; ; pause = Math.min(pause * 1.5, LONGEST_POLL_SECONDS)) {
      const { data, error, response } = await this.api.GET("/api/v1/commands/{id}", {
        params: { path: { id: commandId } },
      });
      if (data === undefined) throw rejection(response, error);
      if (data.status === "succeeded") return data.result;
      if (data.status === "rejected") throw rejection(response, data.error);
      if (Date.now() + pause * 1000 >= deadline) throw new StillPending(commandId);
      await sleep(pause);
    }
  }
}

/** Return the response's problem as a Rejected, or the status and text of a proxy that responded instead. */
function rejection(response: Response, error: unknown): Rejected {
  if (isProblem(error)) return new Rejected({ ...error, status: error.status ?? response.status });
  return new Rejected({
    type: "about:blank",
    title: response.statusText,
    status: response.status,
    detail: typeof error === "string" ? error.slice(0, 200) : "",
    code: `HTTP_${response.status}`,
    retryable: false,
  });
}
