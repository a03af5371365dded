metadata name = 'drkit'
metadata description = 'What drkit needs in Azure: a store, identities, roles, alerts and prepared resource groups, all outside the protected regions.'

targetScope = 'subscription'

import { connection, grant, ids, tags as tagged, target } from 'types.bicep'

@description('Optional. The region of drkit\'s own resources. It must not be a protected region, because the store must survive its loss.')
param location string = deployment().location

@description('Required. The regions that drkit protects, by their short names.')
@minLength(1)
param protectedRegions string[]

@description('Required. The regions to move to, and the resource group to prepare in each.')
@minLength(1)
param targets target[]

@description('Optional. The prefix of every name.')
@minLength(2)
@maxLength(10)
param namePrefix string = 'drkit'

@description('Optional. The service connections of Azure Pipelines. Each gets its own identity.')
param connections connection[] = []

@description('Optional. People, groups and identities to grant drkit\'s roles to, besides the identities created here.')
param grants grant[] = []

@description('Optional. Ids of the resource groups whose machines drkit registers. The operator may write extensions there, and so is root on each machine.')
param hostGroupIds string[] = []

@description('Optional. Whether run commands are a channel in drkit.toml. If so, the operator may run commands as root on the machines in hostGroupIds.')
param withRunCommand bool = false

@description('Optional. Ids of the resource groups of the plans and accounts that drkit moves. Failback and cleanup need them.')
param planGroupIds string[] = []

@description('Optional. Email addresses to notify of an outage.')
param alertEmails string[] = []

@description('Optional. The protected and target regions by the names that Service Health uses ("West Europe"). If empty, all regions.')
param alertRegionNames string[] = []

@description('Optional. Whether only the addresses and subnets below can reach the store. If false, everybody who may sign in can reach it from the internet.')
param restrictNetwork bool = true

@description('Optional. Public IP addresses or ranges that can reach the store.')
param allowedIpRanges string[] = []

@description('Optional. Ids of the subnets that can reach the store.')
param allowedSubnetIds string[] = []

@description('Optional. The number of days for which the journal cannot be changed or deleted. Appending is always possible.')
@minValue(1)
@maxValue(146000)
param journalRetentionDays int = 365

@description('Optional. Whether to create the role that may create resource groups. Without it, drkit uses only prepared groups.')
param withGroupCreator bool = false

@description('Optional. Whether to prepare an Automation account in each target region.')
param warmAutomation bool = false

@description('Optional. Whether to prepare a Codespaces plan in each target region. The service has retired, so this is useful only in the simulator.')
param warmCodespaces bool = false

@description('Optional. The VM sizes to reserve capacity for in each target region. Reserved capacity is charged for.')
param reservedSizes string[] = []

@description('Optional. The tags of all resources created here.')
param tags tagged = {}

var protectedNames = map(protectedRegions, region => toLower(replace(region, ' ', '')))
var misplaced = contains(protectedNames, toLower(replace(location, ' ', '')))
var mistaken = filter(targets, one => contains(protectedNames, toLower(replace(one.region, ' ', ''))))
var place = misplaced
  ? fail('the store must not be in a protected region: ${location} is one; choose another location')
  : !empty(mistaken) ? fail('a target must not be a protected region: ${mistaken[0].region}') : location
// Rights that amount to root on a host are granted only on the hosts' groups: extensions, probes, and run commands where they are a channel.
var hostDefinitions = concat(
  [{ role: 'operator', definition: 'operator-hosts' }, { role: 'prober', definition: 'prober' }],
  withRunCommand ? [{ role: 'operator', definition: 'operator-run-command' }] : []
)
var hostPlaces = flatten(map(hostGroupIds, id => map(hostDefinitions, one => union(one, { id: id }))))
var accountName = toLower('${namePrefix}${uniqueString(subscription().id, namePrefix)}')

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: '${namePrefix}-control'
  location: place
  tags: tags
}

module roles 'modules/roles.bicep' = {
  name: '${namePrefix}-roles'
  params: {
    namePrefix: namePrefix
    withGroupCreator: withGroupCreator
    withRunCommand: withRunCommand
  }
}

module logs 'modules/logs.bicep' = {
  scope: group
  name: '${namePrefix}-logs'
  params: {
    name: '${namePrefix}-logs'
    location: place
    tags: tags
  }
}

module store 'modules/store.bicep' = {
  scope: group
  name: '${namePrefix}-store'
  params: {
    name: accountName
    location: place
    restrictNetwork: restrictNetwork
    allowedIpRanges: allowedIpRanges
    allowedSubnetIds: allowedSubnetIds
    journalRetentionDays: journalRetentionDays
    workspaceId: logs.outputs.workspaceId
    tags: tags
  }
}

module identities 'modules/identity.bicep' = {
  scope: group
  name: '${namePrefix}-identities'
  params: {
    namePrefix: namePrefix
    location: place
    connections: connections
    tags: tags
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  name: '${namePrefix}-alerts'
  params: {
    namePrefix: namePrefix
    emails: alertEmails
    regions: alertRegionNames
    tags: tags
  }
}

resource targetGroups 'Microsoft.Resources/resourceGroups@2025-04-01' = [
  for one in targets: {
    name: one.resourceGroup
    location: one.region
    tags: union(tags, { 'drkit-target': 'true' })
  }
]

module subscriptionGrants 'modules/grants-subscription.bicep' = {
  name: '${namePrefix}-grants'
  params: {
    definitionIds: roles.outputs.definitionIds
    grants: grants
    identities: identities.outputs.identities
  }
}

module targetGrants 'modules/grants-group.bicep' = [
  for (one, index) in targets: {
    scope: targetGroups[index]
    name: '${namePrefix}-grants-${index}'
    params: {
      role: 'operator'
      definition: 'operator'
      definitionIds: roles.outputs.definitionIds
      grants: grants
      identities: identities.outputs.identities
      users: one.?users ?? []
    }
  }
]

module planGrants 'modules/grants-group.bicep' = [
  for (one, index) in planGroupIds: {
    scope: resourceGroup(split(one, '/')[2], split(one, '/')[4])
    name: '${namePrefix}-plans-${index}'
    params: {
      role: 'operator'
      definition: 'operator'
      definitionIds: roles.outputs.definitionIds
      grants: grants
      identities: identities.outputs.identities
      users: []
    }
  }
]

module hostGrants 'modules/grants-group.bicep' = [
  for (one, index) in hostPlaces: {
    scope: resourceGroup(split(one.id, '/')[2], split(one.id, '/')[4])
    name: '${namePrefix}-hosts-${index}'
    params: {
      role: one.role
      definition: one.definition
      definitionIds: roles.outputs.definitionIds
      grants: grants
      identities: identities.outputs.identities
      users: []
    }
  }
]

module storeGrants 'modules/grants-store.bicep' = {
  scope: group
  name: '${namePrefix}-grants-store'
  params: {
    accountName: accountName
    dataDefinitionIds: roles.outputs.dataDefinitionIds
    grants: grants
    identities: identities.outputs.identities
  }
  dependsOn: [store]
}

module warm 'modules/warm.bicep' = [
  for (one, index) in targets: {
    scope: targetGroups[index]
    name: '${namePrefix}-warm-${index}'
    params: {
      namePrefix: namePrefix
      location: one.region
      withAutomation: warmAutomation
      withCodespaces: warmCodespaces
      reservedSizes: reservedSizes
      tags: tags
    }
  }
]

@description('The address of the store, for `store` in drkit.toml.')
output store string = store.outputs.address

@description('The resource group of the resources created here.')
output resourceGroup string = group.name

@description('The client id of each identity that was created, by its role.')
output clientIds ids = toObject(identities.outputs.identities, one => one.role, one => one.clientId)

@description('The resource groups that were prepared in the target regions.')
output targetGroups string[] = [for (one, index) in targets: targetGroups[index].name]
