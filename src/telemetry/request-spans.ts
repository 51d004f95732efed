import { toGloveboxError } from '../errors.ts';
import { startSpan, within } from './trace.ts';

const SERVER_FAULT = 500;

export interface TracedRequest {
  readonly method: string;
  /** Path of its route, with names in place of what differs: `/sessions/:id`. */
  readonly route: string;
  readonly url: string;
  /** Reads a header, in which the caller may name a trace. */
  readonly header: (name: string) => string | undefined;
}

/** Answers a request of HTTP as a span, of the caller's trace if it names one. */
export async function traceRequest(
  { method, route, url, header }: TracedRequest,
  answer: () => Promise<Response>,
): Promise<Response> {
  const span = startSpan(`${method} ${route}`, { kind: 'server', from: header });
  if (!span) return await answer();
  const scheme = url.slice(0, url.indexOf(':'));
  span.set({ 'http.request.method': method, 'http.route': route, 'url.scheme': scheme });
  try {
    const response = await within(span.context, answer);
    span.set({ 'http.response.status_code': response.status });
    if (response.status >= SERVER_FAULT) span.fail(String(response.status));
    return response;
  } catch (error) {
    const { status, code } = toGloveboxError(error);
    span.set({ 'http.response.status_code': status, 'error.type': code });
    // By the conventions, a request that is wrong is no failure of the server.
    if (status >= SERVER_FAULT) span.fail(error);
    throw error;
  } finally {
    span.end();
  }
}
