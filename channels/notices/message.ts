import { z } from 'zod'
import type { Message } from '../delivery.js'

const alert = z.object({
  transition: z.enum(['opened', 'escalated', 'repeated', 'resolved']),
  rule: z.string(),
  subject: z.string(),
  severity: z.enum(['critical', 'high', 'warning', 'info']),
  priority: z.string(),
  summary: z.string(),
  value: z.number().nullable(),
  threshold: z.number().nullable(),
  opened_at: z.string(),
  alert_id: z.string(),
})

const digest = z.object({
  transition: z.literal('digest'),
  since: z.string(),
  open_alerts: z.array(
    z.object({
      priority: z.string(),
      rule: z.string(),
      subject: z.string(),
      summary: z.string(),
      opened_at: z.string(),
    }),
  ),
  alerts_opened: z.number(),
  alerts_resolved: z.number(),
  open_violations: z.number(),
  canaries_returned: z.number(),
  canaries_missing: z.number(),
  dead_letters: z.number(),
  pending_approvals: z.number(),
  heartbeats: z.number(),
  failed_heartbeats: z.number(),
})

const notice = z.discriminatedUnion('transition', [alert, digest])

const LOUDNESS = { critical: 'critical', high: 'critical', warning: 'warning', info: 'info' } as const
const WORDS = { opened: '', escalated: 'worse: ', repeated: 'still: ', resolved: 'resolved: ' }

/** A notice as people read it. */
export function messageOf(content: unknown): Message {
  const parsed = notice.parse(content)
  return parsed.transition === 'digest' ? digestMessage(parsed) : alertMessage(parsed)
}

function alertMessage(told: z.infer<typeof alert>): Message {
  const { transition, rule, subject, severity, priority, summary, value, threshold, opened_at, alert_id } =
    told
  return {
    title: `${priority} ${WORDS[transition]}${subject === '' ? rule : `${rule} (${subject})`}`,
    text: summary,
    severity: transition === 'resolved' ? 'info' : LOUDNESS[severity],
    fields: {
      ...(value === null || threshold === null ? {} : { value: `${value} (threshold ${threshold})` }),
      since: opened_at,
      ...(transition === 'resolved' ? {} : { acknowledge: `ops-loop alerts ack ${alert_id}` }),
    },
  }
}

function digestMessage(day: z.infer<typeof digest>): Message {
  const open = day.open_alerts.map(
    ({ priority, rule, subject, summary }) =>
      `${priority} ${subject === '' ? rule : `${rule} (${subject})`}: ${summary}`,
  )
  return {
    title: open.length === 0 ? 'Ops Loop: all is well' : `Ops Loop: ${open.length} open alerts`,
    text: open.join('\n') || 'No alert is open.',
    fields: {
      since: day.since,
      alerts: `${day.alerts_opened} opened, ${day.alerts_resolved} resolved`,
      violations: `${day.open_violations} open`,
      canaries: `${day.canaries_returned} came back, ${day.canaries_missing} did not`,
      'dead letters': String(day.dead_letters),
      'pending approvals': String(day.pending_approvals),
      heartbeats: `${day.heartbeats}, ${day.failed_heartbeats} of them failed`,
    },
  }
}
