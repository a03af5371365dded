metadata name = 'What stands ready'
metadata description = 'An account, a plan, and reserved capacity in a target region: each is optional, and costs while it stands.'

import { tags as tagged } from '../types.bicep'

@description('Required. The beginning of every name.')
param namePrefix string

@description('Required. The target region.')
param location string

@description('Required. Whether an Automation account stands ready.')
param withAutomation bool

@description('Required. Whether a Codespaces plan stands ready.')
param withCodespaces bool

@description('Required. VM sizes of which one instance each is reserved.')
param reservedSizes string[]

@description('Required. Tags.')
param tags tagged

resource account 'Microsoft.Automation/automationAccounts@2024-10-23' = if (withAutomation) {
  name: '${namePrefix}-auto-${location}'
  location: location
  tags: union(tags, { 'drkit-target': 'true' })
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    disableLocalAuth: true
    publicNetworkAccess: true
    sku: {
      name: 'Basic'
    }
  }
}

// The service has retired, and its type with it: this plan is for the embedded Azure only.
#disable-next-line BCP081
resource plan 'Microsoft.VSOnline/plans@2020-05-26' = if (withCodespaces) {
  name: '${namePrefix}-plan-${location}'
  location: location
  tags: union(tags, { 'drkit-target': 'true' })
  properties: {}
}

resource reservations 'Microsoft.Compute/capacityReservationGroups@2026-03-01' = if (!empty(reservedSizes)) {
  name: '${namePrefix}-reserved-${location}'
  location: location
  tags: tags
}

resource reserved 'Microsoft.Compute/capacityReservationGroups/capacityReservations@2026-03-01' = [
  for size in reservedSizes: {
    parent: reservations
    name: toLower(replace(size, '_', '-'))
    location: location
    tags: tags
    sku: {
      name: size
      capacity: 1
    }
  }
]
