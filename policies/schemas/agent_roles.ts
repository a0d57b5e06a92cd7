import { z } from 'zod'
import { agentName } from './fields.js'

const role = z.strictObject({
  instructions: z
    .string()
    .max(20_000)
    .optional()
    .describe('What the agent is for and how it should work, in words; {{role.instructions}} in a template.'),
  model: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('The model that the agent runs on. Absent: the executor decides.'),
  tools: z
    .array(z.string().min(1).max(200))
    .max(200)
    .optional()
    .describe('Tools that the agent may use; none if empty. Absent: those that worker_policy allows.'),
  temperature: z
    .number()
    .min(0)
    .max(2)
    .optional()
    .describe('Sampling temperature, 0 to 2. Absent: the executor decides.'),
})

export const agentRolesSchema = z
  .record(agentName(), role)
  .describe('Who the agents are, by the name that steps and templates use.')
