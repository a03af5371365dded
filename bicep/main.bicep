metadata name = 'drkit'
metadata description = 'What drkit needs in Azure: a store, identities, roles, alerts, and groups that stand ready. All of it outside the protected regions.'

targetScope = 'subscription'

import { connection, grant, ids, tags as tagged, target } from 'types.bicep'

@description('Optional. Where drkit itself lives. None of the protected regions: the store must survive their loss.')
param location string = deployment().location

@description('Required. The regions whose loss drkit is for, by their short names.')
@minLength(1)
param protectedRegions string[]

@description('Required. The regions to move to, and the group that stands ready in each.')
@minLength(1)
param targets target[]

@description('Optional. The beginning of every name.')
@minLength(2)
@maxLength(10)
param namePrefix string = 'drkit'

@description('Optional. Service connections of Azure Pipelines; each gets an identity of its own.')
param connections connection[] = []

@description('Optional. People, groups and identities that are granted roles of drkit, besides the identities made here.')
param grants grant[] = []

@description('Optional. Ids of the resource groups whose machines drkit registers: the operator is granted extensions there, thus root on each of them.')
param hostGroupIds string[] = []

@description('Optional. Whether run commands are a channel in drkit.toml: the operator may then run commands, as root, on the machines of hostGroupIds.')
param withRunCommand bool = false

@description('Optional. Ids of the resource groups that hold the plans and accounts to be moved: for failback, and for cleanup once they are back.')
param planGroupIds string[] = []

@description('Optional. Addresses that hear of an outage.')
param alertEmails string[] = []

@description('Optional. The protected and target regions as Service Health calls them ("West Europe"). Empty: every region is listened for.')
param alertRegionNames string[] = []

@description('Optional. Whether the store answers on the internet only to the addresses and subnets below. Off: it answers anybody who may sign in.')
param restrictNetwork bool = true

@description('Optional. Public addresses or ranges that may reach the store.')
param allowedIpRanges string[] = []

@description('Optional. Ids of subnets that may reach the store.')
param allowedSubnetIds string[] = []

@description('Optional. For how many days nothing in the journal may be changed or removed; appending is always allowed.')
@minValue(1)
@maxValue(146000)
param journalRetentionDays int = 365

@description('Optional. Whether the role that creates resource groups is made; without it drkit uses prepared groups only.')
param withGroupCreator bool = false

@description('Optional. Whether an Automation account stands ready in each target region.')
param warmAutomation bool = false

@description('Optional. Whether a Codespaces plan stands ready in each target region. The service has retired: of use on the embedded Azure only.')
param warmCodespaces bool = false

@description('Optional. VM sizes of which capacity is reserved in each target region; it is paid for while it is reserved.')
param reservedSizes string[] = []

@description('Optional. Tags of everything made here.')
param tags tagged = {}

var protectedNames = map(protectedRegions, region => toLower(replace(region, ' ', '')))
var misplaced = contains(protectedNames, toLower(replace(location, ' ', '')))
var mistaken = filter(targets, one => contains(protectedNames, toLower(replace(one.region, ' ', ''))))
var place = misplaced
  ? fail('the store must not be in a protected region: ${location} is one; choose another location')
  : !empty(mistaken) ? fail('a target must not be a protected region: ${mistaken[0].region}') : location
// What is root on a host is granted at the hosts' groups only: extensions, probes, and run commands where they are a channel.
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

@description('The group that holds what is made here.')
output resourceGroup string = group.name

@description('The client id of each identity that was made, by its role.')
output clientIds ids = toObject(identities.outputs.identities, one => one.role, one => one.clientId)

@description('The groups that stand ready.')
output targetGroups string[] = [for (one, index) in targets: targetGroups[index].name]
