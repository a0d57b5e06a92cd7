import { z } from 'zod'
import type { JsonObject } from '../../engine/types.js'
import { done, fail, type Outcome, type Report, retry } from '../define.js'
import { storableText } from '../text.js'

/** Characters of an agent's answer that are kept. */
const MAX_TEXT = 200_000

const loose = <Shape extends z.ZodRawShape>(shape: Shape) => z.looseObject(shape).partial()

const payloads = z.array(loose({ text: z.string().nullish() }))
const usage = z.record(z.string(), z.unknown())

/** What the command line and the gateway answer, in all their dialects. */
const replySchema = loose({
  ok: z.boolean(),
  status: z.string(),
  final: z.string().nullish(),
  payloads: payloads.nullish(),
  usage: usage.nullish(),
  costUsd: z.unknown(),
  model: z.string().nullish(),
  sessionId: z.string().nullish(),
  runId: z.string().nullish(),
  result: loose({
    payloads: payloads.nullish(),
    meta: loose({
      agentMeta: loose({
        sessionId: z.string().nullish(),
        model: z.string().nullish(),
        usage: usage.nullish(),
        costUsd: z.unknown(),
      }),
    }),
  }),
  choices: z.array(loose({ message: loose({ content: z.string().nullish() }) })),
  error: z.union([
    z.string(),
    loose({
      type: z.string(),
      code: z.string(),
      message: z.string(),
      retryAfterSeconds: z.number().nonnegative(),
    }),
  ]),
})
export type Reply = z.output<typeof replySchema>

/** Undefined when the text is no JSON object. */
export function readReply(text: string): Reply | undefined {
  try {
    return replySchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** The answer as the step's result, with what it has cost. */
export function replyDone(reply: Reply, meta: JsonObject): Outcome {
  const text = textOf(reply)
  const agent = reply.result?.meta?.agentMeta
  const tokens = tokensOf(reply)
  return done(
    {
      text: storableText(text, MAX_TEXT),
      ...(text.length > MAX_TEXT && { truncated: true }),
      model: reply.model ?? agent?.model ?? undefined,
      session_id: reply.sessionId ?? agent?.sessionId ?? undefined,
      run_id: reply.runId ?? undefined,
      usage: tokens,
    },
    reportOf(reply, meta),
  )
}

/** What is recorded of a reply besides its text. */
export function reportOf(reply: Reply, meta: JsonObject): Report {
  const usage = tokensOf(reply)
  return { cost_usd: costOf(reply), meta: { ...meta, ...(usage && { usage }) } }
}

function textOf({ final, payloads, result, choices }: Reply): string {
  if (final) return final
  const said = (payloads ?? result?.payloads ?? []).flatMap(({ text }) => text ?? [])
  const chosen = (choices ?? []).flatMap(({ message }) => message?.content ?? [])
  return [...said, ...chosen].join('\n\n')
}

const rawUsage = (reply: Reply): JsonObject | undefined =>
  reply.usage ?? reply.result?.meta?.agentMeta?.usage ?? undefined

/** Tokens by the same names whoever counted them. */
function tokensOf(reply: Reply): JsonObject | undefined {
  const raw = rawUsage(reply)
  if (!raw) return undefined
  const input = firstNumber(raw, ['input_tokens', 'prompt_tokens', 'input'])
  const output = firstNumber(raw, ['output_tokens', 'completion_tokens', 'output'])
  const total = firstNumber(raw, ['total_tokens', 'totalTokens', 'total'])
  const sum = input === undefined && output === undefined ? undefined : (input ?? 0) + (output ?? 0)
  return { input_tokens: input, output_tokens: output, total_tokens: total ?? sum }
}

function costOf(reply: Reply): number | undefined {
  const raw = rawUsage(reply) ?? {}
  return (
    [reply.costUsd, reply.result?.meta?.agentMeta?.costUsd].find(isAmount) ??
    firstNumber(raw, ['cost_usd', 'costUsd', 'cost'])
  )
}

/** JSON text can hold a number that is too large for any of ours, `1e999`. */
const isAmount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0

function firstNumber(from: JsonObject, names: readonly string[]): number | undefined {
  return names.map((name) => from[name]).find(isAmount)
}

/** Nothing was begun: another attempt repeats nothing. */
const NOT_BEGUN = /unreachable|refused|unavailable|overloaded|busy|rate_?limit|too_many/i
/** The connection or the waiting ended before the answer came: the agent may have done all, some or nothing. */
const AMBIGUOUS = /transport|time(d_)?out|closed|disconnect|lost|reset|abort/i
/** The same request will be refused again. */
const FINAL =
  /^(invalid|bad|unauthori[sz]ed|forbidden|permission|not_found|unknown|unsupported|config|usage)/i

/** What a failure that openclaw explains means for the step. */
export function explainedFailure(reply: Reply, meta: JsonObject): Outcome {
  const { error, status } = reply
  const details = typeof error === 'string' ? { message: error } : (error ?? {})
  const type = details.type ?? details.code ?? (status && status !== 'ok' ? status : 'error')
  const text = details.message ? `${type}: ${details.message}` : type
  const report = reportOf(reply, { ...meta, error_type: type })
  if (NOT_BEGUN.test(type)) return retry({ error: text, afterSeconds: details.retryAfterSeconds, ...report })
  if (AMBIGUOUS.test(type)) return ambiguous(text, report)
  return FINAL.test(type) ? fail(text, report) : retry({ error: text, ...report })
}

/** Another attempt could do everything twice, so it takes a person to order it. */
export function ambiguous(reason: string, report: Report = {}): Outcome {
  return fail(
    `the agent may have run, and is not run again by itself: ${reason}. Look at what it did; then retry the step or leave it`,
    {
      ...report,
      meta: { ...report.meta, ambiguous: true },
    },
  )
}
