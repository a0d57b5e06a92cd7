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
    .describe(
      'A query that returns what violates the check; no row means all is well. Column id tells violations apart, column message says what is wrong. It runs as ops_monitor: grant it select on the tables.',
    ),
})

const roles = () => z.array(z.string().min(1).max(63)).min(1).max(20)

const expectedRoles = z.strictObject({
  worker: roles().default(['ops_worker']).describe('Roles under which workers may log in.'),
  control_plane: roles().default(['service_role']).describe('Roles under which the heartbeat may log in.'),
})

const canary = z.strictObject({
  enabled: z.boolean().default(true).describe('Send a canary through the loop with every round.'),
  slow_seconds: z
    .number()
    .min(1)
    .max(86_400)
    .default(600)
    .describe('Seconds that a canary may take from its event to the event that comes back.'),
  missing_minutes: z
    .number()
    .min(1)
    .max(1440)
    .default(15)
    .describe('Minutes after which a canary that has not come back is missing.'),
})

export const invariantsSchema = z
  .strictObject({
    enabled: z.boolean().default(true).describe('Run the checks at all.'),
    every_minutes: z.int().min(1).max(1440).default(5).describe('Minutes between two rounds of checks.'),
    timeout_ms: z.int().min(10).max(5000).default(2000).describe('Milliseconds that one check may take.'),
    checks: z
      .array(check)
      .max(500)
      .default([])
      .describe('Checks of your own, beside those that are shipped.'),
    skip: z.array(checkName()).max(500).default([]).describe('Checks that are not run, by name.'),
    expected_roles: expectedRoles
      .prefault({})
      .describe('The database roles that the check runtime_identity expects.'),
    canary: canary.prefault({}).describe('The synthetic canary, which proves that the whole loop works.'),
  })
  .describe('Statements about the data that must hold, checked all day.')
  .superRefine(({ checks }, context) => {
    const seen = new Set<string>()
    for (const [index, { name }] of checks.entries()) {
      if (seen.has(name)) {
        context.addIssue({
          code: 'custom',
          path: ['checks', index, 'name'],
          message: `"${name}" is there twice`,
        })
      }
      seen.add(name)
    }
  })
