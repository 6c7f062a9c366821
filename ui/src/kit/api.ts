/** The typed client of the public API, and the errors that it raises. */
import createClient from 'openapi-fetch';
import type { components, paths } from './openapi.d.ts';

/** A shape as answers have it: the client's types know tuples as arrays. */
type Plain<T> = T extends (infer Item)[] ? Plain<Item>[] : T extends object ? { [Key in keyof T]: Plain<T[Key]> } : T;
/** The shapes of the API by their names. */
export type Shapes = { [Name in keyof components['schemas']]: Plain<components['schemas'][Name]> };

/** The requests of the API. A request's answer goes through `take`. */
export const api = createClient<paths>();

/** An error that the server described by a problem document, or a request that never reached it (`status` 0). */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;
  readonly lines: readonly string[];

  constructor(
    status: number,
    problem: { code?: string; detail?: string; title?: string; hint?: string; lines?: string[] },
  ) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? '';
    this.hint = problem.hint ?? '';
    this.lines = problem.lines ?? [];
  }

  /** Whether asking again later can help, without a change of the request. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

const UNREACHABLE = {
  code: 'unreachable',
  detail: 'The server cannot be reached.',
  hint: 'It is asked again by itself.',
};

/** Return the error of a failed fetch: an abort stays as it is. */
export function fetchFailed(error: unknown): unknown {
  return error instanceof TypeError ? new ApiError(0, UNREACHABLE) : error;
}

/** Return the error that a response describes. */
export async function problemOf(response: Response): Promise<ApiError> {
  const text = await response.text();
  try {
    return new ApiError(response.status, JSON.parse(text));
  } catch {
    return new ApiError(response.status, { detail: text.slice(0, 300) });
  }
}

/** Return the error of a problem document that ended a stream. */
export function streamProblem(text: string): ApiError {
  const problem = JSON.parse(text);
  return new ApiError(problem.status, problem);
}

/** Return the data of an answer; throw an `ApiError` for a problem document. */
export async function take<T>(answer: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let given: { data?: T; error?: unknown; response: Response };
  try {
    given = await answer;
  } catch (error) {
    throw fetchFailed(error);
  }
  if (!given.response.ok) throw new ApiError(given.response.status, problemFields(given.error));
  return given.data as T;
}

function problemFields(error: unknown): ConstructorParameters<typeof ApiError>[1] {
  return typeof error === 'object' && error !== null ? error : { detail: String(error ?? '').slice(0, 300) };
}
