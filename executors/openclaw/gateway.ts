import { meaningOf, parseRetryAfter } from '../../channels/answer.js'
import { anyAddress, type Response, send } from '../../channels/request.js'
import { briefing } from '../agent.js'
import { describeError, done, fail, type Outcome, retry } from '../define.js'
import { type Context, patienceOf, selectorOf } from './params.js'
import { ambiguous, explainedFailure, readReply, replyDone, reportOf } from './reply.js'

/** A longer answer than this cannot become a result. */
const MAX_ANSWER_BYTES = 2 * 1024 * 1024

/** The connection was never made, so nothing was begun. */
const NOT_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

interface Call {
  path: string
  token: string | undefined
  headers?: Record<string, string>
  body: object
}

/** Asks an agent through the gateway's HTTP interface. */
export function throughGateway(context: Context): Promise<Outcome> | Outcome {
  const selector = selectorOf(context)
  if (!selector)
    return fail('params.agent: say whom to ask (agent or session_key), or name an agent in the step')
  const problem = unsendable(context)
  if (problem) return fail(problem)
  const { name, value } = selector
  if (name !== 'agent' && name !== 'session_key')
    return fail(`params.${name}: the gateway asks by agent or session_key`)
  const whom = name === 'agent' ? { agentId: value } : { sessionKey: value }
  return context.params.wait ? ask(context, whom) : admit(context, whom)
}

const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** What keeps the request from being sent at all, on this worker and at any time. */
function unsendable({ params, role, env }: Context): string | undefined {
  const base = baseOf(env)
  if (!URL.canParse(base) || !/^https?:$/.test(new URL(base).protocol))
    return "OPENCLAW_GATEWAY_URL of this worker's environment is no http address: set it as in http://127.0.0.1:18789"
  const { OPENCLAW_GATEWAY_TOKEN, OPENCLAW_GATEWAY_PASSWORD, OPENCLAW_HOOKS_TOKEN } = env
  const inHeaders = {
    ...{ OPENCLAW_GATEWAY_TOKEN, OPENCLAW_GATEWAY_PASSWORD, OPENCLAW_HOOKS_TOKEN },
    ...(params.wait && {
      'params.session_key': params.session_key,
      'params.model': params.model,
      'the model of the role': role?.model,
    }),
  }
  const [wrong] = Object.entries(inHeaders).find(([, value]) => value && !HEADER_VALUE.test(value)) ?? []
  return wrong && `${wrong} holds characters that headers cannot: correct it, or ask through the command line`
}

const baseOf = (env: Context['env']) =>
  (env.OPENCLAW_GATEWAY_URL ?? 'http://127.0.0.1:18789').replace(/\/+$/, '')

interface Whom {
  agentId?: string
  sessionKey?: string
}

/** Waits for the answer. This interface knows no idempotency: when the answer gets lost, nobody knows what was done. */
async function ask(context: Context, { agentId, sessionKey }: Whom): Promise<Outcome> {
  const { params, role, policy, env } = context
  const instructions = briefing(role, policy)
  const model = params.model ?? role?.model
  const call: Call = {
    path: '/v1/chat/completions',
    token: env.OPENCLAW_GATEWAY_TOKEN ?? env.OPENCLAW_GATEWAY_PASSWORD,
    headers: {
      ...(sessionKey && { 'x-openclaw-session-key': sessionKey }),
      ...(model && { 'x-openclaw-model': model }),
    },
    body: {
      model: `openclaw/${agentId ?? 'default'}`,
      messages: [
        ...(instructions ? [{ role: 'system', content: instructions }] : []),
        { role: 'user', content: params.message },
      ],
      temperature: role?.temperature,
      reasoning_effort: params.thinking,
    },
  }
  const answer = await post(context, call)
  if ('trouble' in answer) return answer.begun ? ambiguous(answer.trouble) : retry({ error: answer.trouble })
  const { status, body } = answer
  const meta = { via: 'gateway', status }
  const reply = readReply(body.toString('utf8'))
  if (meaningOf(status) === 'done') {
    return reply
      ? replyDone(reply, meta)
      : ambiguous('the gateway answered with something that is no JSON', { meta })
  }
  // A proxy in front of the gateway: what is behind it may still be at work.
  if (status === 408 || status === 502 || status === 504)
    return ambiguous(`the gateway answered ${status}`, { meta })
  return refused(answer)
}

/** Hands the task over. The step's id goes with it, so that a repetition is recognised and trying again is safe. */
async function admit(context: Context, whom: Whom): Promise<Outcome> {
  const { params, role, policy, env, idempotencyKey, step } = context
  const answer = await post(context, {
    path: '/hooks/agent',
    token: env.OPENCLAW_HOOKS_TOKEN ?? env.OPENCLAW_GATEWAY_TOKEN,
    headers: { 'idempotency-key': idempotencyKey },
    body: {
      message: [briefing(role, policy), params.message].filter(Boolean).join('\n\n'),
      name: step.kind,
      ...whom,
      model: params.model ?? role?.model,
      thinking: params.thinking,
      timeoutSeconds: Math.floor(policy.openclaw_timeout_ms / 1000),
      deliver: false,
      waitForCompletion: false,
    },
  })
  if ('trouble' in answer) return retry({ error: answer.trouble })
  const reply = readReply(answer.body.toString('utf8'))
  const meta = { via: 'gateway', status: answer.status }
  if (meaningOf(answer.status) !== 'done') return refused(answer)
  if (!reply?.runId || reply.ok === false) return explainedFailure(reply ?? {}, meta)
  return done({ run_id: reply.runId }, { meta })
}

/** An answer that says no. */
function refused({ status, headers, body }: Response): Outcome {
  const reply = readReply(body.toString('utf8')) ?? {}
  const { error } = reply
  const words = typeof error === 'string' ? error : error?.message
  const text = words ? `${status}: ${words}` : String(status)
  const report = reportOf(reply, { via: 'gateway', status })
  if (meaningOf(status) === 'never') return fail(text, report)
  return retry({ error: text, afterSeconds: parseRetryAfter(headers['retry-after'], new Date()), ...report })
}

/** What came back, or what came between, and whether the gateway may have begun by then. */
async function post(context: Context, call: Call): Promise<Response | { trouble: string; begun: boolean }> {
  const { env, signal } = context
  const deadline = AbortSignal.timeout(patienceOf(context))
  try {
    return await send(
      {
        url: new URL(`${baseOf(env)}${call.path}`),
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'ops-loop',
          ...(call.token && { authorization: `Bearer ${call.token}` }),
          ...call.headers,
        },
        body: JSON.stringify(call.body),
        signal: AbortSignal.any([signal, deadline]),
      },
      // Only the worker's own environment names the gateway, and it usually stands on the same machine.
      anyAddress,
      MAX_ANSWER_BYTES,
    )
  } catch (error) {
    if (signal.aborted) throw error
    if (deadline.aborted) return { trouble: `no answer within ${patienceOf(context) / 1000} s`, begun: true }
    return { trouble: describeError(error), begun: !isNotConnected(error) }
  }
}

function isNotConnected(error: unknown): boolean {
  if (error instanceof AggregateError) return error.errors.every(isNotConnected)
  return error instanceof Error && 'code' in error && NOT_CONNECTED.has(String(error.code))
}
