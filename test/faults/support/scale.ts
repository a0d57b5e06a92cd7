/** True in `npm run test:faults`; `npm test` runs the same cases with less of everything. */
export const isLong = process.env.OPS_FAULTS === 'long'

export function scale<T>(sizes: { short: T; long: T }): T {
  return isLong ? sizes.long : sizes.short
}
