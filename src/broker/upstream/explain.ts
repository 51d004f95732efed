import { ProtocolError, ProtocolErrorCode, SdkError, SdkErrorCode, SdkHttpError } from '@modelcontextprotocol/client';
import { ToolFailure } from '../types.ts';

/** Characters of a message of a server. */
const MESSAGE_LIMIT = 2000;
const DOCTOR = 'Try again later. The operator can look with: glovebox doctor';

/**
 * What went wrong with a server, for the code that calls it. Texts of the server are cleaned; those of libraries, which
 * may hold addresses, are left out.
 * @param clean makes a text of the server fit to be shown
 */
export function explain(server: string, error: unknown, clean: (text: string, limit: number) => string): ToolFailure {
  if (error instanceof ToolFailure) return error;
  if (error instanceof ProtocolError) return explainRefusal(server, error, clean);
  if (error instanceof SdkHttpError) return explainStatus(server, error.status ?? 0);
  if (error instanceof SdkError) {
    const known = explainSdk(server, error);
    if (known) return known;
  }
  // Of a recursion: that is how deep structures end.
  if (error instanceof RangeError)
    return new ToolFailure('upstream', `${server} answered something that is nested too deeply.`, DOCTOR);
  const code = codeOf(error);
  return new ToolFailure('upstream', `${server} cannot be reached${code ? ` (${code})` : ''}.`, DOCTOR);
}

function explainRefusal(server: string, error: ProtocolError, clean: (text: string, limit: number) => string) {
  const said = clean(error.message, MESSAGE_LIMIT);
  if (error.code === ProtocolErrorCode.InvalidParams)
    return new ToolFailure(
      'bad_arguments',
      `${server} refuses the arguments: ${said}`,
      'Correct them: help(tool) has the schema.',
    );
  return new ToolFailure('upstream', `${server} refuses the call: ${said}`, 'Call it in another way, or leave it.');
}

function explainStatus(server: string, status: number): ToolFailure {
  if (status === 401 || status === 403) {
    const hint = 'The operator sets its secrets with: glovebox secret set NAME';
    return new ToolFailure('upstream', `${server} refuses the credentials that it gets (HTTP ${status}).`, hint);
  }
  if (status >= 300 && status < 400) {
    const hint = 'The operator sets its url to where it is now.';
    return new ToolFailure(
      'upstream',
      `${server} points to another place (HTTP ${status}), which is not followed.`,
      hint,
    );
  }
  const hint = status === 429 ? 'It has had too many requests. Try again later, with fewer.' : DOCTOR;
  return new ToolFailure('upstream', `${server} answers with an error (HTTP ${status}).`, hint);
}

function explainSdk(server: string, { code }: SdkError): ToolFailure | undefined {
  switch (code) {
    case SdkErrorCode.RequestTimeout:
      return new ToolFailure('timeout', `${server} did not answer in time.`, DOCTOR);
    case SdkErrorCode.UnsupportedResultType:
    case SdkErrorCode.InputRequiredRoundsExceeded:
      return new ToolFailure(
        'upstream',
        `${server} asks for the input of a person or a model, which it does not get here.`,
        'Call it in a way that needs none, or call its tool outside of Glovebox.',
      );
    case SdkErrorCode.ConnectionClosed:
    case SdkErrorCode.NotConnected:
      return new ToolFailure('upstream', `${server} closed the connection.`, DOCTOR);
    case SdkErrorCode.InvalidResult:
    case SdkErrorCode.ClientHttpUnexpectedContent:
      return new ToolFailure('upstream', `${server} answered something that is not MCP.`, DOCTOR);
    default:
      return undefined;
  }
}

/** Code of a failed connection, such as `ECONNREFUSED`. */
function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException;
    if (
      typeof code === 'string' &&
      /^(E[A-Z]+|UND_ERR_[A-Z_]+|[A-Z_]*CERT[A-Z_]*|[A-Z]+_[A-Z_]*SIGNATURE\w*)$/.test(code)
    )
      return code;
  }
  return undefined;
}
