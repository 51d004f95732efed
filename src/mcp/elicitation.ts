import {
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  type ElicitRequestFormParams,
  type ElicitResult,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Decision, Elicit, Question } from '../approvals/approvals.ts';

/** What clients say of the forms that they can show. */
const capabilitiesSchema = z.object({
  elicitation: z.object({ form: z.unknown(), url: z.unknown() }).partial().optional(),
});

/** Longest wait for a user, in milliseconds. The question itself is over before that. */
export const ELICIT_LIMIT_MS = 660_000;

/** Answers as the user of a client sees them. Plain words, because not every client shows titles. */
const LABELS: Readonly<Record<Decision, string>> = { once: 'once', session: 'for this session', refuse: 'refuse' };

/** Whether the client of a call can ask its user by a form. */
export function canElicit({ mcpReq }: ServerContext, known: ClientCapabilities | undefined): boolean {
  const envelope: Readonly<Record<string, unknown>> = mcpReq.envelope ?? {};
  const { elicitation } = capabilitiesSchema.safeParse(envelope[CLIENT_CAPABILITIES_META_KEY] ?? known).data ?? {};
  // Without modes, it is forms.
  return elicitation !== undefined && (elicitation.form !== undefined || elicitation.url === undefined);
}

/** Form with a question. */
export function formOf(question: Question): ElicitRequestFormParams {
  const { server, tool, sessionId, executionId, argumentsBytes, answers, changed } = question;
  const size = argumentsBytes === undefined ? '' : ` (${argumentsBytes} bytes, cut here)`;
  const lines = [
    `May code in session ${sessionId} call the tool ${tool} of ${server}?`,
    ...(changed ? ['The server has changed this tool since it was first seen.'] : []),
    `Arguments${size}: ${question.arguments}`,
    `Execution ${executionId}`,
  ];
  return {
    message: lines.join('\n'),
    requestedSchema: {
      type: 'object',
      properties: { answer: { type: 'string', title: 'Allow it', enum: answers.map((answer) => LABELS[answer]) } },
      required: ['answer'],
    },
  };
}

/** Reads what the user of a client has answered, which may be anything. What allows nothing refuses. */
export function decisionOf(answer: unknown): Decision {
  const { action, content }: Partial<ElicitResult> = typeof answer === 'object' && answer !== null ? answer : {};
  const given = action === 'accept' ? content?.['answer'] : undefined;
  return given === LABELS.once ? 'once' : given === LABELS.session ? 'session' : 'refuse';
}

/** Asks the user of a client of an older protocol by a request in the open call, one question after the other. */
export function elicitInCall({ mcpReq }: ServerContext): Elicit {
  let last: Promise<unknown> = Promise.resolve();
  return (question, signal) => {
    const asked = last.then(async () => {
      if (signal.aborted) return undefined;
      // On the stream of the call: another one may not be open.
      const options = { relatedRequestId: mcpReq.id, signal, timeout: ELICIT_LIMIT_MS };
      return decisionOf(await mcpReq.elicitInput(formOf(question), options));
    });
    last = asked.catch(() => undefined);
    return asked;
  };
}
