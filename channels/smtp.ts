import { z } from 'zod'
import type { Delivery, Message, Sending } from './delivery.js'

export interface MailTarget {
  /** `smtp://user:password@host:587` or `smtps://host:465`; `?requireTLS=true` refuses servers without STARTTLS. */
  url: string
  from: string
  to: readonly string[]
}

/** No single exchange with a mail server takes longer than this, in milliseconds. */
const PATIENCE_MS = 30_000

/**
 * Sends a message as mail through an SMTP server, which may stand in a private network: only operators name it.
 * The sending's id becomes the `Message-ID`, by which mail servers and readers know a repetition.
 */
export async function sendMail(
  message: Message,
  { url, from, to }: MailTarget,
  { id, signal }: Sending,
): Promise<Delivery> {
  const { createTransport } = await import('nodemailer')
  const transport = createTransport({
    url,
    connectionTimeout: PATIENCE_MS,
    greetingTimeout: PATIENCE_MS,
    socketTimeout: PATIENCE_MS,
    // What a message says must not make the mailer read files or fetch addresses.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  try {
    const { messageId, response, rejected } = await transport.sendMail({
      from,
      to: [...to],
      subject: subjectOf(message),
      text: textOf(message),
      messageId: `<${id}@ops-loop>`,
      headers: { 'Auto-Submitted': 'auto-generated' },
      signal,
    })
    return {
      outcome: 'delivered',
      detail: { message_id: messageId, response, rejected: rejected.map(addressOf) },
    }
  } catch (error) {
    if (signal.aborted) throw error
    return failureOf(error)
  } finally {
    transport.close()
  }
}

const addressOf = (address: string | { address: string }) =>
  typeof address === 'string' ? address : address.address

const smtpError = z.object({
  code: z.string().optional(),
  responseCode: z.number().optional(),
  message: z.string(),
})

/** No login, no such mailbox: asking again gives the same answer. Without an answer, or with a 4xx, it may not. */
function failureOf(error: unknown): Delivery {
  const { data } = smtpError.safeParse(error)
  const text = data?.message ?? String(error)
  const final =
    data?.responseCode === undefined
      ? data?.code === 'EAUTH' || data?.code === 'EENVELOPE'
      : data.responseCode >= 500
  return { outcome: final ? 'refused' : 'later', error: text.replaceAll(/\s+/g, ' ').trim() }
}

const LABELS = { info: '', warning: '[warning] ', critical: '[critical] ' }

function subjectOf({ title, severity = 'info' }: Message): string {
  return `${LABELS[severity]}${title}`.replaceAll(/\s+/g, ' ')
}

function textOf({ title, text, link, fields = {} }: Message): string {
  const facts = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  return [title, text, facts.join('\n'), link].filter(Boolean).join('\n\n')
}
