import { Cron } from 'croner'
import { z } from 'zod'
import { eventType, timeZone } from './fields.js'

/** Ranges and names, which the form alone does not tell. */
const isCron = (expression: string): boolean => {
  try {
    return new Cron(expression, { mode: '5-part', paused: true }) !== undefined
  } catch {
    return false
  }
}

/** Whether there is any day that a valid expression names: February has no 30th. */
const comes = (expression: string): boolean =>
  new Cron(expression, { mode: '5-part', paused: true }).nextRun(new Date(0)) !== null

/** Types of events that the engine alone makes: the database takes them from nobody else. */
const OWN = /^(heartbeat|mission|step|proposal|canary|service):/

const schedule = z.strictObject({
  id: z.string().min(1).max(100).describe('A name that is unique among the schedules.'),
  description: z.string().max(1000).optional().describe('What it is for.'),
  enabled: z
    .boolean()
    .default(true)
    .describe('Off: no events; times that pass meanwhile are not made up for.'),
  cron: z
    .string()
    .max(200)
    .regex(/^[0-9A-Za-z*,/#?-]+( [0-9A-Za-z*,/#?-]+){4}$/, {
      error: 'must be five cron fields: minute hour day month weekday',
      abort: true,
    })
    .refine(isCron, { error: 'is not a cron expression: a field is out of range', abort: true })
    .refine(comes, 'never comes: none of its months has such a day')
    .describe('When: minute, hour, day of month, month, weekday; "*/15 8-18 * * MON-FRI" for example.'),
  time_zone: timeZone().default('UTC').describe('The zone of the clock that cron reads.'),
  missed: z
    .enum(['skip', 'once', 'all'])
    .default('once')
    .describe(
      'What becomes of times that passed while nothing ran: none, one event in all, or one for each. A time is met, not missed, ' +
        'when it is the last one and a heartbeat comes within ten minutes of it.',
    ),
  event: z
    .strictObject({
      type: eventType()
        .refine((type) => !OWN.test(type), 'is the type of events that the engine alone makes')
        .describe('The type of the event.'),
      data: z.record(z.string(), z.unknown()).default({}).describe('The data of the event.'),
    })
    .describe('The event that is reported at each time; a pattern of the reaction matrix answers it.'),
})

export const schedulesSchema = z
  .strictObject({
    schedules: z.array(schedule).max(1000).default([]).describe('The schedules.'),
  })
  .describe('Events that come by the clock.')
  .superRefine(({ schedules }, context) => {
    const seen = new Set<string>()
    for (const [index, { id }] of schedules.entries()) {
      if (seen.has(id)) {
        context.addIssue({
          code: 'custom',
          path: ['schedules', index, 'id'],
          message: `"${id}" is there twice`,
        })
      }
      seen.add(id)
    }
  })
