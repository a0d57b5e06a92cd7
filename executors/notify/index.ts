import { z } from 'zod'
import {
  type Delivery,
  type Guard,
  type Message,
  publicOnly,
  sendMail,
  sendToSlack,
  sendToWebhook,
} from '../../channels/index.js'
import {
  defineExecutor,
  done,
  type Executor,
  type ExecutorContext,
  fail,
  type Outcome,
  retry,
} from '../define.js'

const variable = () =>
  z
    .string()
    .max(100)
    .regex(/^OPS_NOTIFY_[A-Z0-9_]+$/, 'must be the name of a variable that begins with OPS_NOTIFY_')

const message = {
  title: z.string().min(1).max(300).describe('One line: what it is about.'),
  text: z.string().max(20_000).optional().describe('What there is to say.'),
  severity: z.enum(['info', 'warning', 'critical']).optional().describe('How urgent it is. Absent: info.'),
  link: z
    .url({ protocol: /^https?$/, error: 'must be an http or https address' })
    .max(2000)
    .optional()
    .describe('Where to look.'),
  fields: z
    .record(z.string().min(1).max(100), z.string().max(1000))
    .optional()
    .describe('Short facts by name; Slack shows ten.'),
}

const slack = z.strictObject({
  channel: z.literal('slack').describe("Slack's incoming webhooks, and what speaks like them."),
  url_env: variable()
    .default('OPS_NOTIFY_SLACK_URL')
    .describe("The worker's variable that holds the webhook's address."),
  ...message,
})

const webhook = z.strictObject({
  channel: z.literal('webhook').describe('A program of yours: a POST signed by Standard Webhooks.'),
  url_env: variable()
    .default('OPS_NOTIFY_WEBHOOK_URL')
    .describe("The worker's variable that holds the address."),
  secret_env: variable()
    .default('OPS_NOTIFY_WEBHOOK_SECRET')
    .describe('The variable that holds the secret (`whsec_…`). Where it is not set, nothing is signed.'),
  type: z
    .string()
    .max(200)
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.:-]*$/, 'must be a name such as "ops.notification"')
    .default('ops.notification')
    .describe('What the receiver reads as the kind of message.'),
  ...message,
})

const address = () => z.email('must be a mail address').max(320)

const mail = z.strictObject({
  channel: z.literal('smtp').describe('Mail.'),
  to: z.array(address()).min(1).max(50).describe('Who gets it.'),
  url_env: variable()
    .default('OPS_NOTIFY_SMTP_URL')
    .describe(
      "The worker's variable that holds the mail server's address, as in `smtp://user:password@host:587`.",
    ),
  from_env: variable().default('OPS_NOTIFY_SMTP_FROM').describe('The variable that holds the sender.'),
  ...message,
})

const params = z.discriminatedUnion('channel', [slack, webhook, mail])
type Params = z.output<typeof params>

/** How long a channel may take to answer, in milliseconds. */
const PATIENCE_MS = 30_000

export interface NotifyOptions {
  /** Which addresses webhooks may have. Default: those on the public internet. */
  guard?: Guard | undefined
}

/** Makes a `notify` executor with its own idea of which addresses are allowed. */
export function createNotifyExecutor({ guard = publicOnly }: NotifyOptions = {}): Executor {
  return defineExecutor({
    kind: 'notify',
    params,
    env: ['OPS_NOTIFY_*'],
    run: (context) => notify(context, guard),
  })
}

/** Tells people or programs something: by Slack, webhook or mail. */
export default createNotifyExecutor()

async function notify(context: ExecutorContext<Params>, guard: Guard): Promise<Outcome> {
  const { params, signal } = context
  const timeout = AbortSignal.timeout(PATIENCE_MS)
  try {
    const delivery = await send(context, AbortSignal.any([signal, timeout]), guard)
    return outcomeOf(params.channel, delivery)
  } catch (error) {
    if (error instanceof Misconfigured) return fail(error)
    // What is wrong with a secret.
    if (error instanceof RangeError && params.channel === 'webhook')
      return fail(`${params.secret_env}: ${error.message}`)
    if (timeout.aborted && !signal.aborted)
      return retry({ error: `no answer within ${PATIENCE_MS / 1000} s` })
    throw error
  }
}

/** The worker's environment lacks something: an attempt on the same worker will find the same. */
class Misconfigured extends Error {}

function send(context: ExecutorContext<Params>, signal: AbortSignal, guard: Guard): Promise<Delivery> {
  const { params, env, idempotencyKey } = context
  const { title, text, severity, link, fields } = params
  const message: Message = { title, text, severity, link, fields }
  const sending = { id: idempotencyKey, signal }
  const needed = (name: string): string => {
    const value = env[name]
    if (!value) throw new Misconfigured(`this worker's environment has no ${name}`)
    return value
  }
  const neededUrl = (name: string): string => {
    if (!URL.canParse(needed(name))) throw new Misconfigured(`${name} holds no address`)
    return needed(name)
  }
  switch (params.channel) {
    case 'slack':
      return sendToSlack(message, { url: neededUrl(params.url_env) }, sending, guard)
    case 'webhook': {
      const target = { url: neededUrl(params.url_env), secret: env[params.secret_env] }
      return sendToWebhook({ ...message, type: params.type }, target, sending, guard)
    }
    case 'smtp': {
      const target = { url: neededUrl(params.url_env), from: needed(params.from_env), to: params.to }
      return sendMail(message, target, sending)
    }
  }
}

function outcomeOf(channel: string, delivery: Delivery): Outcome {
  switch (delivery.outcome) {
    case 'delivered':
      return done({ channel, ...delivery.detail })
    case 'later':
      return retry({ error: delivery.error, afterSeconds: delivery.after_seconds })
    case 'refused':
      return fail(delivery.error)
  }
}
