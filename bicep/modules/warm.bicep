metadata name = 'Prepared resources'
metadata description = 'An Automation account, a Codespaces plan and reserved capacity in a target region. Each is optional, and reserved capacity is charged for.'

import { tags as tagged } from '../types.bicep'

@description('Required. The prefix of every name.')
param namePrefix string

@description('Required. The target region.')
param location string

@description('Required. Whether to prepare an Automation account.')
param withAutomation bool

@description('Required. Whether to prepare a Codespaces plan.')
param withCodespaces bool

@description('Required. The VM sizes to reserve one instance of each.')
param reservedSizes string[]

@description('Required. The tags of the resources.')
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

// The service and its resource type have retired: this plan is for the simulator only.
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
