import { z } from 'zod'
import { riskLevel, stepKind } from './fields.js'

export const autoApproveSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe('Approve by rule at all. Off: every proposal waits for a person.'),
    allowed_step_kinds: z
      .array(stepKind())
      .max(500)
      .optional()
      .describe(
        'Every step of the proposal must be of one of these kinds: "openclaw" allows all agents, "openclaw:scout" that one. Absent: all kinds.',
      ),
    max_risk_level: riskLevel()
      .optional()
      .describe(
        'The highest risk approved by rule. A template that states no risk counts as "medium". Absent: any.',
      ),
  })
  .describe('Which proposals start without a person. A missing row, or enabled: false, lets none.')
