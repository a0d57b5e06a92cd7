import { type Delivery, type Message, post, type Sending } from './delivery.js'
import { type Guard, publicOnly } from './request.js'

export interface SlackTarget {
  /** Of an incoming webhook. Whoever has it can post: it is a secret. */
  url: string
}

/** What Slack takes in a section's text, and in a header. */
const MAX_TEXT = 3000
const MAX_TITLE = 150
const MAX_FIELDS = 10

/**
 * Posts a message to an incoming webhook of Slack, or of what speaks like it (Mattermost, Rocket.Chat, Discord's `/slack`).
 * Slack knows no idempotency: a message whose answer got lost is posted again by the next attempt.
 */
export function sendToSlack(
  message: Message,
  { url }: SlackTarget,
  { signal }: Sending,
  guard: Guard = publicOnly,
): Promise<Delivery> {
  const headers = { 'content-type': 'application/json; charset=utf-8', 'user-agent': 'ops-loop' }
  return post({ url: new URL(url), headers, body: JSON.stringify(slackPayload(message)), signal }, guard)
}

const MARKS = { info: '', warning: ':warning: ', critical: ':rotating_light: ' }

/** The message in Slack's blocks, with a line of plain text for notifications. */
export function slackPayload({ title, text, severity = 'info', link, fields = {} }: Message): object {
  const headline = `${MARKS[severity]}${escapeText(title)}`
  const facts = Object.entries(fields).slice(0, MAX_FIELDS)
  const blocks: object[] = [
    { type: 'section', text: markdown(`*${cut(headline, MAX_TITLE)}*`) },
    ...(text ? [{ type: 'section', text: markdown(cut(escapeText(text), MAX_TEXT)) }] : []),
    ...(facts.length > 0
      ? [{ type: 'section', fields: facts.map(([name, value]) => markdown(fieldText(name, value))) }]
      : []),
    ...(link
      ? [{ type: 'context', elements: [markdown(`<${link.replaceAll(/[<>|]/g, encodeURIComponent)}>`)] }]
      : []),
  ]
  return { text: cut(headline, MAX_TEXT), blocks }
}

const markdown = (text: string) => ({ type: 'mrkdwn', text })

const fieldText = (name: string, value: string) => cut(`*${escapeText(name)}*\n${escapeText(value)}`, 2000)

/** Slack reads `<!channel>` and `<@user>` as calls to people; text from events must not call anybody. */
function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/** Between two characters: half of one is no Unicode, and a receiver may refuse the whole message for it. */
function cut(text: string, length: number): string {
  if (text.length <= length) return text
  return `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}
