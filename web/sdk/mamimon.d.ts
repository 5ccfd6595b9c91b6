export interface Options {
  /** `http://KEY@host:port/1`; without it the build's VITE_SENTRY_DSN, a script tag's data-dsn or the server the file came from is used. */
  dsn?: string;
  release?: string;
  environment?: string;
  /** The share of errors to send, 0 to 1; 1 by default. */
  sampleRate?: number;
  /** Which answers of requests are errors; those from 400 on by default. */
  isApiError?: (status: number, url: string) => boolean;
  /** Whether requests to the page's own origin carry an X-Request-ID and a traceparent; true by default. */
  propagate?: boolean;
  /** Changes an event before it is sent; null drops it. */
  beforeSend?: (event: Record<string, any>) => Record<string, any> | null;
}
export interface User {
  id?: string | number;
  username?: string;
  email?: string;
  [trait: string]: unknown;
}
export interface Breadcrumb {
  category?: string;
  type?: string;
  level?: "debug" | "info" | "warning" | "error";
  message?: string;
  data?: Record<string, unknown>;
}
/** Starts catching errors; false where no DSN was found. */
export function initializeErrorTracking(options?: Options): boolean;
/** Reports a caught error and returns the event's id; `extra` holds tags, extra, contexts, level, fingerprint. */
export function captureException(error: unknown, extra?: Record<string, unknown>): string;
export function captureMessage(message: string, level?: "fatal" | "error" | "warning" | "info" | "debug"): string;
/** Counts a product event; sent in batches. */
export function trackEvent(type: string, properties?: Record<string, unknown>): void;
export function identify(id: string, traits?: Record<string, unknown>): void;
export function setUser(user: User | null): void;
export function setTag(name: string, value: string): void;
export function addBreadcrumb(crumb: Breadcrumb): void;
/** Sends waiting product events now. */
export function flush(leaving?: boolean): void;
