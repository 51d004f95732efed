import type { Context } from 'hono';
import type { Approvals } from '../../approvals/approvals.ts';
import { describeQuestion } from '../../approvals/question.ts';
import { GloveboxError } from '../../errors.ts';
import type { Approver } from '../auth/auth.ts';
import { parseJsonObject } from '../json.ts';
import type { Env, Route } from '../route.ts';
import { jsonBody, jsonResponse } from './openapi-parts.ts';

const DECISIONS = ['once', 'session', 'refuse'] as const;
const EXAMPLE = '{"answer": "once"}';

const text = { type: 'string' } as const;
const question = {
  type: 'object',
  properties: {
    approval_id: text,
    owner: { ...text, description: 'Owner of the session.' },
    session_id: text,
    execution_id: text,
    server: text,
    tool: text,
    arguments: {
      ...text,
      description: 'JSON of the arguments. Characters that cannot be seen are written out, and long values are cut.',
    },
    arguments_bytes: { type: 'integer', description: 'Size of all arguments, if they are cut here.' },
    mode: { enum: ['writes', 'always'], description: 'Why the tool is asked for.' },
    changed: { type: 'boolean', description: 'Whether the server has changed the tool since it was first seen.' },
    answers: { type: 'array', items: { enum: DECISIONS }, description: 'The answers that it takes.' },
    asked_at: { ...text, format: 'date-time' },
    expires_at: { ...text, format: 'date-time', description: 'It is refused then.' },
  },
  required: ['approval_id', 'owner', 'session_id', 'execution_id', 'server', 'tool', 'arguments', 'mode', 'answers'],
};

/** Routes for people who answer whether code may call a tool. */
export function approvalRoutes(approvals: Approvals): Route[] {
  return [
    {
      method: 'GET',
      path: '/approvals',
      id: 'listApprovals',
      tag: 'Approvals',
      summary: 'List the questions that wait for your answer. Needs a key that may approve.',
      operation: {
        responses: jsonResponse(200, 'The questions, the oldest first.', {
          type: 'object',
          properties: { approvals: { type: 'array', items: question } },
          required: ['approvals'],
        }),
      },
      needs: 'approve',
      forApprovers: true,
      handle: (c) => {
        const { owner } = approverOf(c);
        return c.json({ approvals: approvals.pending({ owner }).map(describeQuestion) });
      },
    },
    {
      method: 'POST',
      path: '/approvals/:id',
      id: 'answerApproval',
      tag: 'Approvals',
      summary: 'Answer a question. The first answer counts. Needs a key that may approve.',
      operation: {
        parameters: [{ name: 'id', in: 'path', required: true, schema: text }],
        requestBody: jsonBody({
          type: 'object',
          properties: {
            answer: {
              enum: DECISIONS,
              description: 'session: also for later calls of this tool in this session, until it hibernates or ends.',
            },
          },
          required: ['answer'],
          additionalProperties: false,
        }),
        responses: jsonResponse(200, 'It was answered.', {
          type: 'object',
          properties: { approval_id: text, answer: { enum: DECISIONS } },
          required: ['approval_id', 'answer'],
        }),
      },
      needs: 'approve',
      forApprovers: true,
      handle: (c) => {
        const by = approverOf(c);
        const answer = readAnswer(c.var.body);
        const { id } = approvals.decide(c.req.param('id') ?? '', answer, by);
        return c.json({ approval_id: id, answer });
      },
    },
  ];
}

/** @throws GloveboxError `forbidden` for a caller without such a key */
function approverOf({ var: { approver, owner } }: Context<Env>): Approver {
  if (approver) return approver;
  throw new GloveboxError('forbidden', `The caller ${JSON.stringify(owner)} may not answer questions of approval.`, {
    hint: 'Send a key that may. The operator creates one with: glovebox key new <name> --may approve',
  });
}

function readAnswer(body: string): (typeof DECISIONS)[number] {
  const { answer } = parseJsonObject(body, ['answer'], EXAMPLE);
  const known = DECISIONS.find((decision) => decision === answer);
  if (known) return known;
  throw new GloveboxError('invalid_input', 'The field "answer" is none of "once", "session" and "refuse".', {
    hint: `Send a JSON object such as ${EXAMPLE}.`,
  });
}
