import { z } from 'zod'

const checkName = () =>
  z
    .string()
    .min(1)
    .max(100)
    .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and "_"')

const check = z.strictObject({
  name: checkName().describe('A name that is unique among all checks.'),
  severity: z.enum(['critical', 'high', 'warning', 'info']).describe('How bad a violation is.'),
  description: z.string().max(1000).optional().describe('What a violation means.'),
  sql: z
    .string()
    .min(1)
    .max(20_000)
    .describe('A query that returns the violating rows; none means all is well.'),
})

export const invariantsSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Run the checks at all.'),
    every_minutes: z.int().min(1).max(1440).default(5).describe('Minutes between two rounds of checks.'),
    timeout_ms: z.int().min(10).max(60_000).default(2000).describe('Milliseconds that one check may take.'),
    checks: z
      .array(check)
      .max(500)
      .default([])
      .describe('Checks of your own, beside those that are shipped.'),
    skip: z.array(checkName()).max(500).default([]).describe('Shipped checks that are not run, by name.'),
  })
  .describe('Statements about the data that must hold, checked all day.')
